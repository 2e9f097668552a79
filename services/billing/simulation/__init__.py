"""Dunning schedules compared on one fleet of customers, before one of them is used.

`assumptions` says how customers pay, `fleet` draws each one's luck once, `life` leads a customer's
subscription through its periods with the service's own saga, `report` adds up what came of them and
`chart` draws it. Nothing here knows the clock, chance or a server: these are parameters.
"""
