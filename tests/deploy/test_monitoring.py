"""The files in deploy/ for Prometheus and Grafana: against the code, promtool, and a real Prometheus that reads a real chain."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from sf_bsread_writer.relay.config import BufferConfig
from sf_bsread_writer.relay.service import Relay
from sf_bsread_writer.rest.buffer.metrics import metrics_of as buffer_metrics
from sf_bsread_writer.rest.metrics import metrics_of as writer_metrics
from sf_bsread_writer.testing.acquisition import FakeAcquisition
from sf_bsread_writer.testing.chain import ZmqSource, buffer_of, writer_of
from sf_bsread_writer.testing.programs import started, wait_until
from sf_bsread_writer.zmtp.address import Address

DEPLOY = Path(__file__).parents[2] / "deploy"
CONFIGURATION = DEPLOY / "prometheus" / "prometheus.yml"
RULES = DEPLOY / "prometheus" / "sf_bsread.rules.yml"
DASHBOARD = DEPLOY / "grafana" / "sf_bsread.json"

needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="NOT CHECKED: prometheus and promtool are missing; Debian has both in the package prometheus",
)


def expressions() -> list[str]:
    """All that the dashboard asks Prometheus for, of all buffers and writers."""
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [re.sub(r'"\$[^"]*"', '".*"', expression) for expression in asked]


def test_rules_and_dashboard_ask_for_metrics_that_there_are() -> None:
    relay = Relay(BufferConfig(source=Address("127.0.0.1", 1), memory_limit_bytes=16 << 20))
    metrics = [*buffer_metrics(relay), *writer_metrics(FakeAcquisition())]
    known = {metric.name + ("_total" if metric.type == "counter" else "") for metric in metrics}
    alerts = re.findall(r"expr: (.*)", RULES.read_text(encoding="utf-8"))
    for asked in (alerts, expressions()):
        names = {name for expression in asked for name in re.findall(r"sf_bsread_\w+", expression)} - {
            "sf_bsread_buffer",
            "sf_bsread_writer",
        }
        assert len(names) > 8
        assert names - known == set()


def promtool(*arguments: object) -> None:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_promtool_accepts_configuration_and_rules_and_alerts_come_when_they_should(tmp_path: Path) -> None:
    promtool("check", "config", CONFIGURATION)
    shutil.copy(RULES, tmp_path)
    shutil.copy(Path(__file__).with_name("sf_bsread.test.yml"), tmp_path)
    promtool("test", "rules", tmp_path / "sf_bsread.test.yml")


@needs_prometheus
@pytest.mark.system
def test_a_real_prometheus_reads_a_real_chain_and_answers_all_that_the_dashboard_asks(tmp_path: Path, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"

    def query(expression: str) -> list[Any]:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": expression}).json()
        assert answer["status"] == "success", (expression, answer)
        found: list[Any] = answer["data"]["result"]
        return found

    def value_of(expression: str) -> float | None:
        found = query(expression)
        return float(found[0]["value"][1]) if found else None

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    with (
        ZmqSource() as source,
        buffer_of(source.address, "--rest_port", 0, "--memory_limit", "64M") as buffer,
        writer_of(buffer.address, "/dev/null") as writer,
    ):
        source.send_range(1, 50)
        writer.put("/start_pulse_id/1")
        text = CONFIGURATION.read_text(encoding="utf-8")
        for port, real in ((9555, buffer.url), (8083, writer.url)):
            assert f"127.0.0.1:{port}" in text
            text = text.replace(f"127.0.0.1:{port}", real.removeprefix("http://"))
        (tmp_path / "prometheus.yml").write_text(
            text.replace("scrape_interval: 5s", "scrape_interval: 100ms\n  scrape_timeout: 100ms")
        )
        shutil.copy(RULES, tmp_path)
        command = [
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{free_port}",
        ]
        with started(command, name="prometheus"):
            wait_until(is_ready, "Prometheus answers")
            wait_until(lambda: value_of("sum(up)") == 2, "both are up")
            wait_until(lambda: value_of("sf_bsread_buffer_received_messages_total") == 50, "all messages are counted")
            wait_until(lambda: (value_of("sf_bsread_writer_rows") or 0) >= 49, "all rows are counted")
            source.send_range(51, 60)
            wait_until(lambda: (value_of("rate(sf_bsread_buffer_received_messages_total[1m])") or 0) > 0, "there is a rate")
            unanswered = [expression for expression in expressions() if not query(expression)]
            assert all("dropped" in e or "stop_pulse_id" in e or "expected" in e or "deriv" in e for e in unanswered)
            loaded = httpx.get(f"{url}/api/v1/rules").json()["data"]["groups"]
            assert {rule["health"] for group in loaded for rule in group["rules"]} <= {"ok", "unknown"}
            assert sum(len(group["rules"]) for group in loaded) == RULES.read_text(encoding="utf-8").count("alert:")
