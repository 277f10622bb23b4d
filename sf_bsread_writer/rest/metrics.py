"""The writer in numbers, for Prometheus: what `Statistics` says, of the acquisition that runs or was the last one."""

from collections.abc import Iterator

from litestar import get
from prometheus_client import Metric

from sf_bsread_writer.rest.acquisition import Acquisition
from sf_bsread_writer.rest.context import AppRequest, acquisition_of
from sf_bsread_writer.rest.exposition import TEXT_FORMAT, exposition, gauge, info
from sf_bsread_writer.rest.openapi import REFUSALS


@get("/metrics", responses=REFUSALS, media_type=TEXT_FORMAT, tags=["metrics"])
async def metrics(request: AppRequest) -> str:
    """The statistics, for Prometheus."""
    return exposition(metrics_of(acquisition_of(request)))


def metrics_of(acquisition: Acquisition) -> Iterator[Metric]:
    """Gauges all, since each acquisition begins at 0."""
    now = acquisition.statistics()
    p = "sf_bsread_writer_"
    yield info(p + "info", "The version of this writer.")
    yield gauge(p + "writing", "1 from an accepted start until the file is closed, else 0.", acquisition.status == "writing")
    yield gauge(p + "stream_connected", "Whether there is a connection to the buffer or source.", now.connected)
    yield gauge(p + "start_pulse_id", "First pulse asked for; absent for a start by time.", now.start_pulse_id)
    yield gauge(p + "stop_pulse_id", "Last pulse asked for; absent without a stop, or for one by time.", now.stop_pulse_id)
    yield gauge(p + "last_pulse_id", "Newest pulse in the file.", now.last_pulse_id if now.rows else None)
    yield gauge(p + "rows", "Pulses in the file.", now.rows)
    yield gauge(p + "received_messages", "Messages received for this acquisition.", now.received_messages)
    yield gauge(p + "missing_pulses", "Pulses that were due and did not come.", now.missing_pulses)
    yield gauge(p + "duplicate_messages", "Messages left out because their pulse was there already.", now.duplicates)
    yield gauge(p + "late_messages", "Messages left out because a later pulse was there already.", now.out_of_order)
    yield gauge(p + "file_bytes", "Size of the file.", now.file_bytes)
    yield gauge(p + "expected_file_bytes", "Size that the file will have; absent if nobody knows.", now.expected_bytes)
    yield gauge(p + "lacking_disk_bytes", "What the disk has too little for the file.", now.lacking_bytes)
    yield gauge(p + "waiting_messages", "Messages received and not yet written.", now.waiting_messages)
    yield gauge(p + "lag_seconds", "How long the oldest of these has been waiting.", now.lag_s)
