import dataclasses

import highdicom as hd
import numpy as np
import pydicom
import pytest

from vst_dicom.domain.forms import Encoding
from vst_dicom.domain.geometry import PixelSpacing
from vst_dicom.encode.parametric_map import parametric_map_objects
from vst_dicom.encode.report import encode_report
from vst_dicom.encode.segmentation import segmentation_objects
from vst_dicom.encode.writing import write_dicom


@pytest.fixture
def written(tmp_path, make_source, make_result):
    def write(result=None, source=None, others=()):
        path = tmp_path / "report.dcm"
        write_dicom(encode_report(source or make_source(), result or make_result(), others), path)
        return path

    return write


def items_of(dataset, meaning):
    """All content items with this concept name, at any depth."""
    found = []
    for item in dataset.get("ContentSequence", ()):
        if item.ConceptNameCodeSequence[0].CodeMeaning == meaning:
            found.append(item)
        found += items_of(item, meaning)
    return found


def test_a_hotspot_is_a_closed_polygon_on_the_slide_with_its_numbers(written, make_source, make_result):
    source = make_source(origin_mm=(10.0, 20.0, 0.0), orientation=(1, 0, 0, 0, 1, 0))
    report = hd.sr.srread(written(source=source))

    (group,) = report.content.get_planar_roi_measurement_groups()

    assert group.roi.value[0] == pytest.approx([10.0 - 0.0002, 20.0 - 0.00025, 0], abs=1e-5)
    assert (group.roi.value[0] == group.roi.value[-1]).all()
    assert len(group.roi.value) == 5
    numbers = {(number.name.meaning, number.unit.value): number.value for number in group.get_measurements()}
    assert numbers["Area", "mm2"] == 0.0026
    assert numbers["Predicted ERBB2 mRNA expression", "1"] == 0.0
    assert numbers["Highest Gi* of the region", "1"] == 7.5
    assert numbers["Gi* that a hotspot of this slide exceeds", "1"] == 5.25
    assert numbers["Mean predicted expression of similar tissue", "1"] == -0.5
    assert numbers["Fraction of nearby tissue masked as out of distribution", "1"] == 0.25
    codes = {item.name.meaning: item.value for item in group.get_qualitative_evaluations()}
    assert codes["Gene studied [ID]"].value == "HGNC:3430"
    assert codes["Tissue class by appearance"].meaning == "Not classified"
    assert codes["Intended use"].meaning.startswith("For Research Use Only")


def test_a_hotspot_states_the_interval_of_its_mean_and_its_class(written, make_result):
    result = make_result()
    hotspot = dataclasses.replace(result.hotspots[0], interval=(-0.25, 0.25), tissue_class=0)
    report = hd.sr.srread(written(dataclasses.replace(result, hotspots=(hotspot,))))

    (group,) = report.content.get_planar_roi_measurement_groups()

    numbers = {number.name.meaning: number.value for number in group.get_measurements()}
    assert numbers["Lower limit of the interval of the mean"] == -0.25
    assert numbers["Upper limit of the interval of the mean"] == 0.25
    codes = {item.name.meaning: item.value.meaning for item in group.get_qualitative_evaluations()}
    assert codes["Tissue class by appearance"] == "Tumor-like epithelium"


def test_a_report_with_hotspots_says_what_they_are_not(written, make_result):
    def remarks(dataset):
        (container,) = items_of(dataset, "Qualitative Evaluations")
        return [item.TextValue for item in items_of(container, "Comment")]

    assert "not measured, not a mutation" in remarks(pydicom.dcmread(written()))[0]
    assert remarks(pydicom.dcmread(written(make_result(with_hotspots=False)))) == []


def test_the_subject_is_the_specimen(written):
    dataset = pydicom.dcmread(written())

    (subject,) = items_of(dataset, "Subject Class")
    assert subject.ConceptCodeSequence[0].CodeMeaning == "Specimen"
    assert items_of(dataset, "Specimen UID")[0].UID == "2.25.1001"
    assert items_of(dataset, "Specimen Container Identifier")[0].TextValue == "S26-1-A-1"


def test_a_slide_that_does_not_identify_its_specimen_gets_no_invented_one(written, make_source):
    source = make_source()
    del source.header.SpecimenDescriptionSequence

    assert items_of(pydicom.dcmread(written(source=source)), "Subject Class") == []


def test_every_gene_states_its_values_and_its_evidence(written, make_result):
    result = make_result()
    summaries = items_of(pydicom.dcmread(written(result)), "Predicted expression of a gene over all tissue")

    assert len(summaries) == 3
    numbers = [
        float(item.MeasuredValueSequence[0].NumericValue)
        for item in items_of(summaries[1], "Predicted ESR1 mRNA expression")
    ]
    values = result.expression.values[:, 1]
    assert numbers == pytest.approx([values.mean(), np.percentile(values, 95)])
    (held_out,) = items_of(summaries[1], "Held-out correlation with measured expression")
    assert float(held_out.MeasuredValueSequence[0].NumericValue) == pytest.approx(0.4)
    (evidence,) = items_of(summaries[1], "Evidence for prediction")
    assert evidence.ConceptCodeSequence[0].CodeValue == "vst-0111"


def test_measurement_groups_always_have_a_region(written):
    dataset = pydicom.dcmread(written())

    for group in items_of(dataset, "Measurement Group"):
        assert items_of(group, "Image Region")


def test_a_report_without_hotspots_is_still_a_report(written, make_result):
    dataset = pydicom.dcmread(written(make_result(with_hotspots=False)))

    assert items_of(dataset, "Imaging Measurements") == []
    assert len(items_of(dataset, "Predicted expression of a gene over all tissue")) == 3


def test_warnings_and_parameters_are_passed_on(written):
    dataset = pydicom.dcmread(written())

    assert items_of(dataset, "Warning")[0].TextValue == "demonstration only"
    assert items_of(dataset, "Parameter")[0].TextValue == "level: 0"


def test_the_evidence_names_slide_and_other_results(written, make_source, make_result):
    others = parametric_map_objects(make_source(), make_result(), Encoding())
    dataset = pydicom.dcmread(written(others=others))

    (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    referenced = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in study.ReferencedSeriesSequence]
    assert referenced == ["2.25.11", others[0].instance_uid(make_source(), make_result())]


def test_text_that_no_character_set_of_the_slide_knows_is_spelled_plainly(written, make_source, make_result):
    source = make_source()
    del source.header.SpecificCharacterSet
    source.header.PatientName = "Doe^John"
    result = dataclasses.replace(make_result(), warnings=("spacing 0.5 µm assumed, naïve",))

    dataset = pydicom.dcmread(written(result, source))

    assert items_of(dataset, "Warning")[0].TextValue == "spacing 0.5 um assumed, na?ve"


def sources_of(item):
    """What a number was taken from: class of the object, frame, segment."""
    return [
        (
            image.ReferencedSOPSequence[0].ReferencedSOPClassUID.name,
            image.ReferencedSOPSequence[0].get("ReferencedFrameNumber"),
            image.ReferencedSOPSequence[0].get("ReferencedSegmentNumber"),
        )
        for image in items_of(item, "Source of Measurement")
    ]


def test_numbers_name_the_frame_of_the_map_and_the_segment_that_they_are_taken_from(written, make_source, make_result):
    source, result = make_source(), make_result(everything=True)
    others = [
        *parametric_map_objects(source, result, Encoding()),
        *segmentation_objects(source, result, Encoding()),
    ]
    dataset = pydicom.dcmread(written(result, source, others))

    first, second = items_of(dataset, "Measurement Group")
    n_classes = 3
    assert sources_of(first)[0] == ("Segmentation Storage", None, 1 + n_classes + 1)
    assert sources_of(second)[0] == ("Segmentation Storage", None, 1 + n_classes + 2)
    assert sources_of(first)[1] == ("Parametric Map Storage", 1, None)
    assert sources_of(second)[1] == ("Parametric Map Storage", 3, None)
    summaries = items_of(dataset, "Predicted expression of a gene over all tissue")
    assert sources_of(summaries[1]) == [("Parametric Map Storage", 2, None)] * 2


def test_shown_signatures_state_scores_genes_evidence_and_source(written, make_result):
    dataset = pydicom.dcmread(written(make_result(everything=True)))

    first, second = items_of(dataset, "A gene signature over all tissue")
    mean, high = items_of(first, "Predicted score of a gene signature (image-derived)")
    assert float(mean.MeasuredValueSequence[0].NumericValue) == pytest.approx(0, abs=1e-6)
    assert float(high.MeasuredValueSequence[0].NumericValue) == pytest.approx(0.9)
    assert items_of(first, "Gene signature")[0].ConceptCodeSequence[0].CodeValue == "tis"
    assert items_of(second, "Gene signature")[0].ConceptCodeSequence[0].LongCodeValue == "a-longer-name-of-it"
    assert items_of(first, "Number of genes used")[0].MeasuredValueSequence[0].NumericValue == 1
    assert items_of(first, "Number of genes of the published list")[0].MeasuredValueSequence[0].NumericValue == 18
    assert items_of(first, "Published in")[0].TextValue == "Someone 2020"
    assert [item.TextValue for item in items_of(first, "Comment")] == ["held up", "Not a test of response."]


def test_a_gene_that_only_ranks_says_so(written, make_result):
    dataset = pydicom.dcmread(written(make_result(everything=True)))

    summaries = items_of(dataset, "Predicted expression of a gene over all tissue")
    assert [len(items_of(summary, "How values may be read")) for summary in summaries] == [0, 1, 0]


def test_the_tissue_is_stated_in_tiles_and_square_millimeters(written, make_source, make_result):
    source, result = make_source(spacing=PixelSpacing(0.0005, 0.0004)), make_result(everything=True)
    (tissue,) = items_of(pydicom.dcmread(written(result, source)), "Tissue of the slide")

    numbers = [float(item.MeasuredValueSequence[0].NumericValue) for item in tissue.ContentSequence]
    assert numbers == pytest.approx([18, 18 * 101 * 0.0005 * 103 * 0.0004, 2])


def test_a_specimen_identifier_keeps_its_spelling(written, make_source):
    source = make_source()
    source.header.SpecimenDescriptionSequence[0].SpecimenIdentifier = "Präparat µ7"

    dataset = pydicom.dcmread(written(source=source))

    assert items_of(dataset, "Specimen Identifier")[0].TextValue == "Präparat µ7"
