"""Process the slides of jobs: from spooled files to a write-once result folder and the rows that follow from it."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import pydicom
import structlog
from sqlalchemy import Connection, Engine

from vst_dicom.config import Settings
from vst_dicom.domain.errors import BundleError
from vst_dicom.jobs.attempt import Attempt, JobRunner, Write
from vst_dicom.jobs.engine import Engine as JobEngine
from vst_dicom.jobs.results import ResultStore
from vst_dicom.ledger.coarse_jobs import find_coarse, is_coarse
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.deliveries import ResultInstance, create_deliveries, send_again
from vst_dicom.ledger.jobs import Job, list_job_files, read_sender
from vst_dicom.ledger.results import record_result
from vst_dicom.ledger.shadows import create_shadow, read_shadow, record_figures
from vst_dicom.pipeline.process_slide import Choices, process_slide
from vst_dicom.pipeline.shadow import SHADOW_FORMS, compare_with_main, read_figures
from vst_dicom.predict.bundle import load_bundle, read_identity
from vst_dicom.predict.predictor import Predictor
from vst_dicom.runtime.delivering import names_of_destinations
from vst_dicom.runtime.working import work
from vst_dicom.slide.opening import open_slide

_log = structlog.get_logger(__name__)

_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")

LoadPredictor = Callable[[str], Predictor]
"""Gives a bundle on a device, by the name that rules give it."""


class SlideProcessor:
    """Makes results; keeps the last predictor, because most slides ask for the same.

    Parameters
    ----------
    database, settings
        Ledger, and where files lie.
    load_predictor
        Loads a bundle.
    """

    def __init__(self, database: Engine, settings: Settings, load_predictor: LoadPredictor) -> None:
        self._database = database
        self._settings = settings
        self._load = load_predictor
        self._loaded: tuple[str, Predictor] | None = None

    def process(self, job: Job, out: Path, attempt: Attempt) -> None:
        """Process the slide of a job.

        The first start of the job dates the result, so that every repetition writes the same bytes.

        Raises
        ------
        VstDicomError
            As `vst_dicom.pipeline.process_slide.process_slide` does.
        """
        with self._database.begin() as connection:
            names = list_job_files(connection, job)
            shadow = read_shadow(connection, job.key)
            coarse = is_coarse(connection, job.key)
            before = find_coarse(connection, job.key)
        attempt.report("open", 0, 1)
        predictor = self._predictor(job.bundle)
        chosen = self._settings.encode
        choices = Choices(
            genes=job.genes,
            forms=frozenset(chosen.forms),
            encoding=chosen.encoding,
            job_key=job.key,
            predecessor_key=(job if before is None else before).predecessor_key or "",
            coarse=coarse,
            coarse_key="" if before is None else before.key,
        )
        if shadow is not None:
            choices = Choices(forms=SHADOW_FORMS, job_key=job.key, shadow_of=shadow.of_key)
        now = job.started_at or job.created_at
        with open_slide([self._settings.spool / name for name in names]) as slide:
            try:
                process_slide(slide, predictor, out, choices=choices, now=now, progress=attempt.report)
            finally:
                if predictor.engine.facts.steps_down:
                    self._loaded = None  # the next slide starts at the top again: memory may be free by then
        if shadow is not None:
            attempt.report("compare", 0, 1)
            compare_with_main(self._settings.results / shadow.of_key, out, shadow.of_key)

    def close(self, job: Job, folder: Path, hashes: Mapping[str, str]) -> Write:
        """Record the objects of a result, have them delivered, and have the shadows run beside it.

        A result that was recorded before is sent again. That of a shadow goes nowhere.
        """
        with self._database.begin() as connection:
            shadow = read_shadow(connection, job.key)
            coarse = is_coarse(connection, job.key)
        if shadow is not None:
            figures = read_figures(folder)
            return lambda connection: record_figures(connection, job.key, figures)
        instances = read_result_instances(folder, hashes)
        beside = {} if coarse else self._shadow_bundles(job)

        def write(connection: Connection) -> None:
            ae_title, address = read_sender(connection, job)
            destinations = names_of_destinations(
                self._settings, job.destinations, reply_to_ae=ae_title, reply_to_address=address
            )
            now = datetime.now(UTC)
            if not record_result(connection, job.key, instances):
                send_again(connection, job.key, now)
            create_deliveries(connection, job.key, destinations, priority=job.priority, now=now)
            for bundle, sha256 in beside.items():
                create_shadow(connection, job, bundle, sha256, now)

        return write

    def _shadow_bundles(self, job: Job) -> dict[str, str]:
        """Names and hashes of the bundles to run beside a job; one that cannot be read stops nothing else."""
        found: dict[str, str] = {}
        for name in self._settings.predict.shadow:
            try:
                sha256 = read_identity(name).sha256
            except BundleError as error:
                _log.error("shadow left out", bundle=name, job=job.key, problem=str(error))
                continue
            if name != job.bundle:
                found[name] = sha256
        return found

    def _predictor(self, bundle: str) -> Predictor:
        if self._loaded is None or self._loaded[0] != bundle:
            self._loaded = None  # frees its memory before the next takes some
            self._loaded = (bundle, self._load(bundle))
        return self._loaded[1]


def read_result_instances(folder: Path, hashes: Mapping[str, str]) -> list[ResultInstance]:
    """Read what the DICOM files of a result folder are."""
    found = []
    for name in sorted(name for name in hashes if name.endswith(".dcm")):
        header = pydicom.dcmread(folder / name, stop_before_pixels=True, specific_tags=list(_IDENTITY))
        found.append(
            ResultInstance(
                sop_instance_uid=str(header.SOPInstanceUID),
                sop_class_uid=str(header.SOPClassUID),
                series_instance_uid=str(header.SeriesInstanceUID),
                study_instance_uid=str(header.StudyInstanceUID),
                file_name=name,
                sha256=hashes[name],
            )
        )
    return found


def run_processing(settings: Settings, stop: Event, *, load_predictor: LoadPredictor | None = None) -> None:
    """Take jobs, one at a time, until the event is set.

    Parameters
    ----------
    settings, stop
        As for every role.
    load_predictor
        Loads a bundle; by default from the built-in bundles and paths, onto the device of the settings.
    """

    def load(bundle: str) -> Predictor:
        chosen = settings.predict
        return Predictor(
            load_bundle(bundle),
            engine=chosen.engine,
            device=chosen.device,
            precision=chosen.precision,
            batch_size=chosen.batch_size,
            threads=chosen.threads,
            cache=settings.cache,
        )

    database = open_database(settings.database)
    processor = SlideProcessor(database, settings, load_predictor or load)
    runner = JobRunner(
        database,
        ResultStore(settings.results),
        processor.process,
        processor.close,
        settings.predict.most_attempts,
        stop,
    )
    with JobEngine(settings.database) as engine:
        work(settings, database, engine, stop, role="worker-gpu", process=runner.run)
    database.dispose()
