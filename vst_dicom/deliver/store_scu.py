"""Send instances by C-STORE (PS3.4 B), as the file's bytes stand, chunk by chunk from disk."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pynetdicom import _config, evt

from vst_dicom.deliver.association import MAXIMUM_CONTEXTS, DicomPeer, PacedAssociation, open_association
from vst_dicom.deliver.files import InstanceFile
from vst_dicom.deliver.status import InstanceAnswer, Verdict, judge

_ANSWER_BYTES_PER_S: Final = 10 << 20
"""How fast a peer must write an instance away before it answers."""


def send_instances(
    peer: DicomPeer,
    calling_ae_title: str,
    files: Sequence[InstanceFile],
    *,
    on_answer: Callable[[InstanceAnswer], None] = lambda _: None,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> list[InstanceAnswer]:
    """Send files in one association, or as many as their presentation contexts need.

    One context is proposed for each pair of SOP class and transfer syntax; nothing is ever converted, so that the
    peer gets the bytes of the file. A refused instance does not stop the others.

    Parameters
    ----------
    peer
        Whom to send to.
    calling_ae_title
        Title of this side.
    files
        What to send, in this order.
    on_answer
        Told of each answer at once.
    on_bytes
        Told how many bytes left the socket.

    Raises
    ------
    PeerError
        If the peer cannot be reached, rejects, aborts, closes or stops taking data. What was answered before
        that was told to `on_answer`.
    """
    _config.STORE_SEND_CHUNKED_DATASET = True
    answers: list[InstanceAnswer] = []
    for group in _groups(files):
        contexts = dict.fromkeys((file.sop_class_uid, file.transfer_syntax_uid) for file in group)
        proposed = [(sop_class, [syntax]) for sop_class, syntax in contexts]
        handlers = [(evt.EVT_DATA_SENT, lambda event: on_bytes(len(event.data)))]
        with open_association(peer, calling_ae_title, proposed, handlers) as opened:
            for number, file in enumerate(group):
                answer = _send(opened, peer, file, number % 65_535 + 1)
                answers.append(answer)
                on_answer(answer)
    return answers


def _send(opened: PacedAssociation, peer: DicomPeer, file: InstanceFile, message_id: int) -> InstanceAnswer:
    uid = file.sop_instance_uid
    if not opened.accepts(file.sop_class_uid, file.transfer_syntax_uid):
        reason = f"{peer} does not accept SOP class {file.sop_class_uid} in transfer syntax {file.transfer_syntax_uid}"
        return InstanceAnswer(uid, Verdict.REFUSED, reason)
    opened.begin(file.n_bytes)
    association = opened.association
    association.dimse_timeout = peer.timeout_s + file.n_bytes / _ANSWER_BYTES_PER_S
    response = association.send_c_store(file.path, msg_id=message_id)
    status = opened.require_status(response, f"C-STORE of {uid}")
    verdict, meaning = judge(status)
    return InstanceAnswer(uid, verdict, meaning)


def _groups(files: Sequence[InstanceFile]) -> Iterator[list[InstanceFile]]:
    """Split where an association would need too many contexts."""
    group: list[InstanceFile] = []
    contexts: set[tuple[str, str]] = set()
    for file in files:
        context = (file.sop_class_uid, file.transfer_syntax_uid)
        if group and context not in contexts and len(contexts) == MAXIMUM_CONTEXTS:
            yield group
            group, contexts = [], set()
        group.append(file)
        contexts.add(context)
    if group:
        yield group
