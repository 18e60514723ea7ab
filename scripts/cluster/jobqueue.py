"""Reduce a Zarr array on workers that Slurm starts (dask-jobqueue must be installed).

    python scripts/cluster/jobqueue.py /shared/X.zarr Y.zarr --workers 64 --queue normal

Run it where it may stay for as long as the reduction takes: the client does the dense stage and
keeps the checkpoints. Submit it again after a lost node, client or time limit: it goes on.
PBS, LSF, SGE: another class of dask_jobqueue with the same arguments.
"""

import argparse

from dask_jobqueue import SLURMCluster
from distributed import Client

import streamsparse as ss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="on storage that every node mounts, or a URL")
    parser.add_argument("out", help="where Y goes, on storage of the client")
    parser.add_argument("--m", type=int, default=4096)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--queue")
    parser.add_argument("--walltime", default="01:00:00")
    options = parser.parse_args()
    X, out, m, memory = options.source, options.out, options.m, "2 GiB"
    job = {"queue": options.queue, "walltime": options.walltime}
    # 8 workers of one thread in a job, 4 GiB for each: twice `memory`, which bounds every process.
    with SLURMCluster(cores=8, processes=8, memory="32 GiB", **job) as cluster, Client(cluster):
        # Slurm starts jobs when it can; whoever is there begins, whoever ends is replaced.
        cluster.adapt(minimum=min(8, options.workers), maximum=options.workers)
        print(ss.sparsify(X, "sketch", m=m, memory=memory, out=out, resume=True, runner="dask"))


if __name__ == "__main__":
    main()
