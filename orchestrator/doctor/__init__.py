"""`bascule doctor`: what this machine has and lacks, and what helps."""

from orchestrator.doctor.report import Finding, Report, examine

__all__ = ["Finding", "Report", "examine"]
