"""Metrics follow Prometheus' naming, and each server has its own."""

from prometheus_client.parser import text_string_to_metric_families

from orchestrator.telemetry.metrics import Metrics


def test_what_is_counted_comes_out() -> None:
    """Counters, gauges and the plain numbers of traffic, in the text format."""
    metrics = Metrics("1.2.3")
    metrics.connections.inc()
    metrics.evals.labels("ok").inc(2)
    metrics.traffic.bytes_sent += 7
    text = metrics.render().decode()
    assert "bascule_connections 1.0" in text
    assert 'bascule_evals_total{outcome="ok"} 2.0' in text
    assert 'bascule_relay_bytes_total{direction="sent"} 7.0' in text
    assert 'version="1.2.3"' in text


def test_two_servers_in_one_process_do_not_meet() -> None:
    """No registry is global."""
    first, second = Metrics(), Metrics()
    first.bad_messages.inc()
    assert "bascule_bad_messages_total 0.0" in second.render().decode()


def test_names_have_the_prefix_and_a_meaning() -> None:
    """Every family is ours and says what it is."""
    families = list(text_string_to_metric_families(Metrics().render().decode()))
    assert len(families) > 20
    for family in families:
        assert family.name.startswith("bascule_")
        assert family.documentation
