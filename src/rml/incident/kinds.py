"""The kinds of entry that tell of an incident, and what a timeline calls them."""

from __future__ import annotations

from typing import Final

OPENED: Final = "incident.opened"
JOINED: Final = "incident.joined"
DETECTED: Final = "incident.detected"
CONTAINED: Final = "incident.contained"
LIFTED: Final = "incident.mitigation_lifted"
UNDERSTOOD: Final = "incident.understood"
COUNTED: Final = "incident.impact"
COSTED: Final = "incident.cost"
DECIDED: Final = "incident.decided"
ACTED: Final = "incident.acted"
LEARNED: Final = "incident.learned"
DOWNSCOPED: Final = "incident.downscoped"
STATUS: Final = "incident.status"
CONFIRMED: Final = "incident.confirmed"
ALL_CLEAR: Final = "incident.all_clear"
CLOSED: Final = "incident.closed"
REOPENED: Final = "incident.reopened"
POSTMORTEM: Final = "incident.postmortem"
OVERRIDDEN: Final = "incident.overridden"
TRIAGED: Final = "incident.triaged"
PRIVACY: Final = "incident.privacy"
CHANGE_DONE: Final = "incident.change_done"
EVIDENCE_READ: Final = "incident.evidence_read"
SEVERITY_RAISED: Final = "incident.severity_raised"
ROLE_TAKEN: Final = "incident.role_taken"
ROLE_LEFT: Final = "incident.role_left"
HANDOVER_OFFERED: Final = "incident.handover_offered"
HANDOVER_ACCEPTED: Final = "incident.handover_accepted"
UPDATED: Final = "incident.updated"
TOLD: Final = "incident.told"
ORDERED: Final = "incident.ordered"
READ_BACK: Final = "incident.order_read_back"
ORDER_CLOSED: Final = "incident.order_closed"
NOTED: Final = "incident.noted"
WORKSTREAM: Final = "incident.workstream_opened"
LINKED: Final = "incident.linked"
HOOK_FAILED: Final = "incident.hook_failed"
RESOLVED: Final = "effect.resolved"

# What is noticed by a program or a report of it; a new one makes a case fresh again.
SIGNALS: Final = (OPENED, JOINED)
DETECTIONS: Final = (OPENED, JOINED, DETECTED)
# What a timeline calls the library's entries; a program's own kinds stand as they are.
TYPES: Final = {
    OPENED: "detection",
    JOINED: "detection",
    DETECTED: "detection",
    CONTAINED: "containment",
    LIFTED: "mitigation_lifted",
    UNDERSTOOD: "impact_assessed",
    COUNTED: "impact_counted",
    COSTED: "cost",
    DECIDED: "decision",
    ACTED: "action",
    LEARNED: "lessons",
    DOWNSCOPED: "downscope",
    STATUS: "status",
    CONFIRMED: "confirmation",
    ALL_CLEAR: "all_clear",
    CLOSED: "closed",
    REOPENED: "reopened",
    POSTMORTEM: "postmortem",
    OVERRIDDEN: "override",
    TRIAGED: "triage",
    PRIVACY: "privacy",
    CHANGE_DONE: "change_done",
    EVIDENCE_READ: "evidence_read",
    SEVERITY_RAISED: "severity_raised",
    ROLE_TAKEN: "role",
    ROLE_LEFT: "role",
    HANDOVER_OFFERED: "handover",
    HANDOVER_ACCEPTED: "handover",
    UPDATED: "update",
    TOLD: "told",
    ORDERED: "order",
    READ_BACK: "order",
    ORDER_CLOSED: "order",
    NOTED: "note",
    WORKSTREAM: "workstream",
    LINKED: "link",
    HOOK_FAILED: "hook_failed",
    RESOLVED: "doubt_resolved",
}
