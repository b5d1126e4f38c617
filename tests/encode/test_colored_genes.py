import pytest

from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.expression import Gene
from vst_dicom.encode.colored_genes import choose_colored_genes


def test_the_genes_with_the_best_evidence_are_colored(make_result) -> None:
    genes = tuple(Gene(f"G{number}") for number in range(5))

    assert choose_colored_genes(make_result(genes=genes), None) == [0, 1, 2]


def test_chosen_genes_keep_the_order_in_which_they_were_named(make_result) -> None:
    assert choose_colored_genes(make_result(), ("LOC1", "ERBB2", "LOC1")) == [2, 0]


def test_a_gene_that_the_result_does_not_show_is_named(make_result) -> None:
    with pytest.raises(UsageError, match="TP53"):
        choose_colored_genes(make_result(), ("ERBB2", "TP53"))
