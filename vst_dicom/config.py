"""All settings, read once from one TOML file and the environment; below the runtime nobody sees them.

Environment variables go before the file: ``VST_DICOM_DICOM__PORT=104`` sets ``port`` in ``[dicom]``.
"""

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from vst_dicom.domain.errors import UsageError
from vst_dicom.domain.forms import Encoding, MapCompression, MapLayer, MapPixels, ResultForm
from vst_dicom.web_settings import Port, Section, WebSettings

AeTitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[!-\[\]-~ ]+$")
]
"""Application Entity title: 1 to 16 printable characters without backslash (PS3.5 6.2, AE)."""

Network = IPv4Network | IPv6Network
Seconds = Annotated[float, Field(gt=0)]


class TlsSettings(Section):
    """TLS after BCP 195 (PS3.15 B.12): certificate and key of this side, authorities that vouch for the other."""

    certificate: Path
    """File of this side's certificate, PEM; read again when it changes."""
    private_key: Path
    """File of its key, PEM."""
    authorities: Path | None = None
    """File of the authorities that vouch for the other side, PEM."""
    require_peer_certificate: bool = True
    """Whether the other side must show a certificate."""


class AllowedPeer(Section):
    """A peer that may associate."""

    ae_title: AeTitle
    """Its AE title."""
    addresses: tuple[Network, ...] = ()
    """From where; anywhere if empty."""


class DicomLimits(Section):
    """What one peer can ask of the listener at most."""

    maximum_pdu_bytes: Annotated[int, Field(ge=4096, le=1 << 20)] = 131_072
    """Largest PDU taken (PS3.8 D.1); larger ones end the association."""
    connections: Annotated[int, Field(ge=1, le=500)] = 64
    """Connections at once."""
    connections_per_address: Annotated[int, Field(ge=1)] = 32
    """Connections at once from one address."""
    associations: Annotated[int, Field(ge=1)] = 32
    """Associations at once; more are rejected for now (PS3.8 9.3.4)."""
    backlog: Annotated[int, Field(ge=1)] = 256
    """Connections that may wait to be accepted."""
    handshake_s: Seconds = 5.0
    """Time for the TLS handshake."""
    request_s: Seconds = 10.0
    """Time from the connection to a complete A-ASSOCIATE-RQ."""
    idle_s: Seconds = 60.0
    """Silence after which an association ends."""
    pdu_base_s: Seconds = 5.0
    """Time for one PDU: this,"""
    pdu_bytes_per_s: Annotated[int, Field(ge=1)] = 65_536
    """and its length at this speed."""
    instance_bytes: Annotated[int, Field(ge=1)] = 20 << 30
    """Largest instance; larger ones are refused (0xA700)."""
    association_bytes: Annotated[int, Field(ge=1)] = 200 << 30
    """Most that one association may bring."""


class DicomSettings(Section):
    """The DICOM listener."""

    ae_title: AeTitle = "VST_DICOM"
    """AE title of this server."""
    host: str = "127.0.0.1"
    """Address to listen at; 0.0.0.0 for every network of the machine."""
    port: Port = 11112
    """TCP port."""
    allowed_peers: tuple[AllowedPeer, ...] = ()
    """Who may associate; anyone that reaches the port if empty."""
    require_called_ae_title: bool = True
    """Whether peers must call this AE title."""
    tls: TlsSettings | None = None
    limits: DicomLimits = DicomLimits()


class StorageSettings(Section):
    """What lies on disk."""

    reserve_bytes: Annotated[int, Field(ge=0)] = 20 << 30
    """Free disk space that is kept, in bytes, and"""
    reserve_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Instances are refused (0xA700) when less than the greater of both is free."""
    most_waiting_slides: Annotated[int, Field(ge=1)] = 2000
    """Instances are refused (0xA700) while more jobs wait."""
    keep_delivered: timedelta = timedelta(days=7)
    """How long slides and results stay on disk after every destination has the result."""


class StudySettings(Section):
    """When a slide counts as whole, and by which rules it is processed."""

    quiet_s: Annotated[float, Field(ge=0)] = 30.0
    """How long nothing more of a slide must come before it starts."""
    rules: Path | None = None
    """File of rules, see docs/rules.md; every H&E slide goes to every destination without one."""


class PredictSettings(Section):
    """How slides are processed."""

    bundle: str = "her2st-lite"
    """Id or folder of the model bundle."""
    shadow: tuple[str, ...] = ()
    """Further bundles that run after it on every slide, for comparison; their results stay here and go nowhere."""
    coarse_first: bool = False
    """Whether a quick result from one tile of four goes ahead of the whole one; costs a quarter more computing."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What computes; auto takes the GPU where there is one."""
    engine: Literal["auto", "torch", "openvino"] = "auto"
    """Library that computes; auto takes torch on the GPU, and on the CPU what is faster there."""
    precision: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    """Arithmetic; auto takes half width on the GPU where the reference tile allows it, and fp32 on the CPU."""
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU threads of the library; every core without it."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 32
    """Tiles computed together."""
    most_attempts: Annotated[int, Field(ge=1, le=20)] = 5
    """How often a slide is tried before it waits for a person."""


class EncodeSettings(Section):
    """Which forms results take, and how they are written."""

    forms: Annotated[tuple[ResultForm, ...], Field(min_length=1)] = tuple(ResultForm)
    """DICOM objects (pm, seg, ann, sr) and files that stay here (png, geojson, h5ad)."""
    map_layers: tuple[MapLayer, ...] = (MapLayer.HALF_WIDTH, MapLayer.SIGNATURES, MapLayer.DISTANCE)
    """What Parametric Maps show besides genes, each as a series: half-width, gi-star, signatures, distance."""
    map_series_per_gene: bool = False
    """Whether each gene gets a series of its own, for viewers that know no channels."""
    map_pixels: MapPixels = MapPixels.UINT16
    """uint16 is what viewers and archives show; float32 needs both to be able to read it."""
    map_compression: MapCompression = MapCompression.NONE
    """none or jpeg-ls (without loss, uint16 only)."""
    largest_object_bytes: Annotated[int, Field(ge=1 << 20, le=4 << 30)] = 1 << 30
    """Parametric Maps that would be larger are split into several series."""
    colored_genes: tuple[str, ...] = ()
    """Genes whose tiles are drawn as annotations and fractional segments; the few with the best evidence if empty."""
    fractional_segments: bool = True
    """Whether these genes are also written as a fractional Segmentation, which viewers draw on clear glass."""
    label_map: bool = False
    """Whether tissue classes are also written as a label map Segmentation, which no viewer shows yet."""
    color_overlay_gene: str = ""
    """Gene to paint over the slide as a series of its own, for OHIF; breaks the slide's page in Slim; none if empty."""
    geojson_genes: tuple[str, ...] = ()
    """Genes whose values the tiles of GeoJSON carry; all that are shown if empty."""
    independent_validator: bool = True
    """Whether dciodvfy, where it is installed, judges every object before it may leave."""

    @model_validator(mode="after")
    def _can_be_written(self) -> Self:
        _ = self.encoding  # refuses what does not go together
        return self

    @property
    def encoding(self) -> Encoding:
        """What the encoders are told."""
        return Encoding(
            map_layers=frozenset(self.map_layers),
            map_series_per_gene=self.map_series_per_gene,
            map_pixels=self.map_pixels,
            map_compression=self.map_compression,
            largest_object_bytes=self.largest_object_bytes,
            colored_genes=self.colored_genes or None,
            fractional_segments=self.fractional_segments,
            label_map=self.label_map,
            color_overlay_gene=self.color_overlay_gene or None,
            geojson_genes=self.geojson_genes or None,
            validate=self.independent_validator,
        )


class Destination(Section):
    """Where results go: a DICOM peer by C-STORE, or a DICOMweb server by STOW-RS."""

    ae_title: AeTitle | None = None
    """AE title of the peer."""
    host: str = ""
    """Its address."""
    port: Port = 104
    """Its TCP port."""
    url: str = ""
    """Base address of a DICOMweb server; then no AE title is needed."""
    tls: TlsSettings | None = None
    storage_commitment: bool = False
    """Ask the peer to take responsibility (PS3.4 J) before copies are removed."""
    notify_availability: bool = False
    """Send Instance Availability Notification (PS3.4 R)."""
    query_url: str = ""
    """DICOMweb server to ask (QIDO-RS) whether every instance arrived."""
    timeout_s: Seconds = 60.0
    """How long to wait for a connection, an answer, and any progress."""

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        if bool(self.url) == bool(self.ae_title):
            raise ValueError("a destination needs either ae_title with host and port, or url")
        if self.ae_title and not self.host:
            raise ValueError("a destination with ae_title needs host")
        if self.url and (self.storage_commitment or self.notify_availability):
            raise ValueError("storage_commitment and notify_availability need ae_title, not url")
        return self


class DeliverySettings(Section):
    """How long results are tried."""

    first_retry_s: Seconds = 30.0
    """Wait after the first failure; it doubles with each,"""
    longest_retry_s: Seconds = 3600.0
    """up to this."""
    give_up_after: timedelta = timedelta(days=7)
    """After so long a delivery waits for a person."""
    commitment_timeout_s: Seconds = 3600.0
    """How long to wait for an answer to storage commitment before asking again."""
    reply_to_sender: bool = False
    """Also send results to the AE that sent the slide, where it is among the destinations' addresses."""


class ServeSettings(Section):
    """How the processes of the server live together."""

    host: Annotated[str, StringConstraints(max_length=60, pattern=r"^[A-Za-z0-9._-]*$")] = ""
    """Name of this machine among those that share the database; its host name if empty."""
    slot: Annotated[int, Field(ge=0)] = 0
    """Number of this process among those of its role on this machine; the supervisor counts."""
    predict_workers: Annotated[int, Field(ge=0, le=64)] = 1
    """Processes that predict on this machine; one per GPU."""
    poll_s: Seconds = 0.5
    """How often queues are looked at."""
    beat_s: Seconds = 5.0
    """How often each process says that it lives."""
    dead_after_s: Seconds = 30.0
    """Silence after which others take over the work of a process."""
    shutdown_s: Annotated[int, Field(ge=1)] = 30
    """How long work in progress may take to stop."""
    keep_finished: timedelta = timedelta(days=7)
    """How long the engine remembers finished work; the ledger keeps its own rows for good."""

    @model_validator(mode="after")
    def _beats_before_it_counts_as_dead(self) -> Self:
        if self.dead_after_s < 2 * self.beat_s:
            raise ValueError("dead_after_s must be at least twice beat_s")
        return self


class Settings(BaseSettings):
    """Everything that can be set; unknown names are refused."""

    model_config = SettingsConfigDict(
        env_prefix="VST_DICOM_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    data_dir: Path = Path("vst-data")
    """Folder of everything that the server keeps."""
    database_url: str = ""
    """SQLite in the data folder if empty."""
    dicom: DicomSettings = DicomSettings()
    storage: StorageSettings = StorageSettings()
    study: StudySettings = StudySettings()
    predict: PredictSettings = PredictSettings()
    encode: EncodeSettings = EncodeSettings()
    delivery: DeliverySettings = DeliverySettings()
    destinations: dict[str, Destination] = {}
    web: WebSettings = WebSettings()
    serve: ServeSettings = ServeSettings()

    @property
    def database(self) -> str:
        """Address of the database."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'vst.sqlite').absolute()}"

    @property
    def spool(self) -> Path:
        """Folder of received instances."""
        return self.data_dir / "spool"

    @property
    def results(self) -> Path:
        """Folder of result folders."""
        return self.data_dir / "results"

    @property
    def cache(self) -> Path:
        """Folder of what can be made again: exported graphs, choices of engine."""
        return self.data_dir / "cache"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file."""
        return env_settings, init_settings


def read_settings(path: Path | None = None) -> Settings:
    """Read the file, if one is given, and the environment.

    Raises
    ------
    UsageError
        If the file cannot be read, or a setting is unknown or impossible; every fault is named.
    """
    content = {}
    if path is not None:
        try:
            content = TomlConfigSettingsSource(Settings, toml_file=path)()
        except (OSError, ValueError) as error:
            msg = f"settings file {path} cannot be read: {error}"
            raise UsageError(msg) from error
        if not path.is_file():
            msg = f"there is no settings file {path}"
            raise UsageError(msg)
    try:
        return Settings(**content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        msg = f"settings{f' in {path}' if path else ''} do not fit: {faults}"
        raise UsageError(msg) from error
