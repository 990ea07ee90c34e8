"""The table of protocols: what a line of the truth asks for, and where our calls hold it.

A further protocol is one entry in the module of its kind: Protocol(name, the truth's kinds, expect, got).
expect(line) makes messages of a line of the truth, got(call) of a call. expect() names only fields the line tells;
only those are compared. `main` are the fields that name a message.
"""
import brokers
import databases
import services
import web


def load(wire):
    """wire: the folder of the dissectors, whose tables of numbers and names are read here."""
    web.read_suites(wire)
    brokers.read_kafka(wire)
    return web.ENTRIES + databases.ENTRIES + brokers.ENTRIES + services.ENTRIES
