"""Dunning schedules compared on one fleet of customers, before one of them is used.

`assumptions` says how customers pay, and `fleet` draws each one's luck once. `life` leads a
customer's subscription through its periods with the service's own saga; `outside` answers it as
the provider and the customer would. `report` adds up what came of them, `table` and `chart` show
it, and `choices` reads what the command line asks for. No clock, no chance, no files: whoever calls
it has these.
"""
