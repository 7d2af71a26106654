"""Rolling restarts under load: two servers on one Redis, each ended by SIGTERM in turn, while clients go on working.

`replicas` are the servers and `balancer` stands before them as a service does in a cluster; `drivers` are the clients,
whose acknowledged evals are compared with what their sessions hold in the end.
"""
