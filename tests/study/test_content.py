from vst_dicom.study.content import job_key

CONTENTS = [("1.1", "a" * 64), ("1.2", "b" * 64)]


def test_the_order_of_instances_and_genes_does_not_matter() -> None:
    assert job_key("1", CONTENTS, "c", ["A", "B"]) == job_key("1", reversed(CONTENTS), "c", ["B", "A", "A"])


def test_everything_that_decides_a_result_changes_the_key() -> None:
    keys = {
        job_key("1", CONTENTS, "c", None),
        job_key("2", CONTENTS, "c", None),
        job_key("1", CONTENTS[:1], "c", None),
        job_key("1", [CONTENTS[0], ("1.2", "d" * 64)], "c", None),
        job_key("1", CONTENTS, "d", None),
        job_key("1", CONTENTS, "c", ["A"]),
    }

    assert len(keys) == 6


def test_a_key_has_64_hexadecimal_digits() -> None:
    assert len(bytes.fromhex(job_key("1", CONTENTS, "c", None))) == 32
