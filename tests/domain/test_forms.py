from vst_dicom.domain.forms import Encoding


def test_genes_that_a_result_lacks_are_left_out_and_named_once():
    encoding = Encoding(colored_genes=("A", "X"), color_overlay_gene="X", geojson_genes=("B", "Y"))

    limited, left_out = encoding.limited_to(["A", "B"])

    assert limited == Encoding(colored_genes=("A",), color_overlay_gene=None, geojson_genes=("B",))
    assert left_out == ("X", "Y")


def test_where_no_chosen_gene_is_there_the_usual_choice_is_made():
    limited, _ = Encoding(colored_genes=("X",)).limited_to(["A"])

    assert limited.colored_genes is None


def test_the_usual_encoding_names_no_gene_and_loses_none():
    assert Encoding().limited_to(["A"]) == (Encoding(), ())
