"""Process the slides of jobs: from spooled files to a write-once result folder and the rows that follow from it."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from threading import Event

import pydicom
from sqlalchemy import Connection, Engine

from vst_dicom.config import Settings
from vst_dicom.jobs.attempt import Attempt, JobRunner, Write
from vst_dicom.jobs.engine import Engine as JobEngine
from vst_dicom.jobs.results import ResultStore
from vst_dicom.ledger.database import open_database
from vst_dicom.ledger.deliveries import create_deliveries
from vst_dicom.ledger.jobs import Job, list_job_files
from vst_dicom.ledger.results import ResultInstance, record_result
from vst_dicom.pipeline.process_slide import Choices, process_slide
from vst_dicom.predict.bundle import load_bundle
from vst_dicom.predict.predictor import Predictor
from vst_dicom.runtime.delivering import names_of_destinations
from vst_dicom.runtime.working import work
from vst_dicom.slide.opening import open_slide
