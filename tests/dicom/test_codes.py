import pytest

from vst_dicom.dicom import codes
from vst_dicom.domain.expression import Gene

OWN = [value for value in vars(codes).values() if isinstance(value, codes.Code) and value.scheme == codes.OWN_SCHEME]


def test_own_codes_are_unique_and_fit_their_attributes():
    assert len({code.value for code in OWN}) == len(OWN)
    assert all(len(code.value) <= 16 and len(code.meaning) <= 64 for code in OWN)


def test_a_known_gene_is_coded_by_its_registry():
    code = codes.gene_code(Gene("ERBB2", "HGNC:3430"))

    assert (code.value, code.scheme, code.meaning) == ("HGNC:3430", "HGNC", "ERBB2")


def test_an_unknown_gene_is_coded_by_its_symbol_in_our_scheme():
    code = codes.gene_code(Gene("LOC1"))

    assert (code.value, code.scheme) == ("LOC1", "99VST")


@pytest.mark.parametrize("gene", [Gene("ERBB2", "HGNC:3430"), Gene("X", "HGNC:103433"), Gene("A-VERY-LONG-SYMBOL-1")])
def test_a_concept_narrowed_to_a_gene_still_fits(gene):
    code = codes.for_gene(codes.HIGH_EXPRESSION_REGION, gene, "High")

    assert len(code.value) <= 16
    assert code.value.startswith("vst-0200.")


def test_a_code_longer_than_a_short_string_is_a_long_code_value():
    item = codes.Code("A-VERY-LONG-SYMBOL-1", "99VST", "meaning").to_item()

    assert item.LongCodeValue == "A-VERY-LONG-SYMBOL-1"
    assert "CodeValue" not in item


def test_schemes_unknown_to_the_standard_are_identified():
    hgnc, own = codes.coding_schemes()

    assert (hgnc.CodingSchemeDesignator, hgnc.CodingSchemeUID) == ("HGNC", "2.16.840.1.113883.6.281")
    assert own.CodingSchemeDesignator == "99VST"
