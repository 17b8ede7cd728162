"""How long a decision takes, by number of rules, beside Cedar and CEL deciding an equivalent policy in the same run.

    python -m benchmarks.policy [--rules 10,200,1000] [--requests 2000] [--json] [--alone]

A rule of the workload names tenants of 100, apps of 50 and groups of 20, levels and data types, as policies of large
companies do; requests come from all of them. `first` is a decision that nothing like it came before, `again` one that
did, which is what a gateway sees nearly always. Cedar (`cedarpy`) decides for each target whether the request may go
there, with the policies and entities parsed ahead; CEL (`common-expression-language`) evaluates one compiled
expression a rule, and joining what matches is not counted. Both are fetched from PyPI the first time. That all three
agree on every request is checked.
"""
