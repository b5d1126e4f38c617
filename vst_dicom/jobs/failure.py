"""What an unexpected failure says about itself without quoting anything: messages may hold header values."""

import traceback


def where(error: BaseException) -> dict[str, str]:
    """Name of the exception, and the places that it passed, the innermost last."""
    frames = traceback.extract_tb(error.__traceback__)
    places = " > ".join(f"{frame.name}:{frame.lineno}" for frame in frames[-6:])
    cause = error.__cause__ or error.__context__
    return {"error": type(error).__name__, "places": places} | ({"cause": type(cause).__name__} if cause else {})
