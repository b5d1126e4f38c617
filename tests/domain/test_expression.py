import numpy as np
import pytest

from vst_dicom.domain.expression import ExpressionTable, Gene, GeneStatus, PanelGene


def panel_gene(symbol: str, status: GeneStatus) -> PanelGene:
    return PanelGene(Gene(symbol), status, "because", 0.5, None, "section", 4)


def test_only_supported_and_exploratory_genes_are_shown() -> None:
    genes = tuple(panel_gene(status.value, status) for status in GeneStatus)
    table = ExpressionTable(genes, np.arange(6, dtype=np.float32).reshape(2, 3))

    shown = table.shown()

    assert [gene.gene.symbol for gene in shown.genes] == ["supported", "exploratory"]
    np.testing.assert_array_equal(shown.values, [[0, 1], [3, 4]])


def test_table_refuses_values_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        ExpressionTable((panel_gene("A", GeneStatus.HIDDEN),), np.array([[np.nan]], dtype=np.float32))


def test_table_refuses_a_column_without_a_gene() -> None:
    with pytest.raises(ValueError, match="shape"):
        ExpressionTable((), np.zeros((2, 1), dtype=np.float32))
