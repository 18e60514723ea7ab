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
    # One thread per worker: a task has one. `memory` bounds every process for itself, the client
    # and each worker; a worker that dask allows less than that reads smaller blocks.
    with (
        LocalCluster(
            n_workers=options.workers,
            threads_per_worker=1,
            memory_limit=options.memory,
            dashboard_address=":0",
        ) as cluster,
        Client(cluster),
    ):
        # The current Client is what dask computes with. `out` is written by this process, with the
        # sums that came back kept beside it; `resume` may always be said.
        result = ss.sparsify(
            options.source,
            options.method,
            m=options.m,
            memory=options.memory,
            out=options.out,
            resume=True,
            runner="dask",
        )
    print(result)


if __name__ == "__main__":
    # dask starts workers that import this file: they must not run it.
    main()
