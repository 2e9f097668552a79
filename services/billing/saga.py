"""The renewal saga as a pure state machine."""
