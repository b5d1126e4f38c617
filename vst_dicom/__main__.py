"""``python -m vst_dicom`` is ``vst-dicom``."""

from vst_dicom.cli.main import run

if __name__ == "__main__":
    run()
