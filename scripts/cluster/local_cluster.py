"""Reduce a Zarr array on all cores of this machine by dask workers that may be lost and replaced.

    python scripts/cluster/local_cluster.py X.zarr Y.zarr --workers 4 --method sketch --m 4096

The same command goes on where it was interrupted or killed, and gives the same bits of Y.
"""

import argparse

from distributed import Client, LocalCluster

import streamsparse as ss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", help="path or URL that every worker can read")
    parser.add_argument("out", help="where Y goes, on a disk of this process")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--m", type=int)
    parser.add_argument("--memory", default="2 GiB", help="for each process")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    X, out, m, memory = options.source, options.out, options.m, options.memory
    # A task has one thread. dask computes with the current Client; `out` is written here.
    with (
        LocalCluster(options.workers, threads_per_worker=1, memory_limit=memory) as cluster,
        Client(cluster),
    ):
        method = options.method
        print(ss.sparsify(X, method, m=m, memory=memory, out=out, resume=True, runner="dask"))


if __name__ == "__main__":
    # dask starts workers that import this file: they must not run it.
    main()
