#!/usr/bin/env bash
# Reduce X on a Slurm cluster: an array of N independent jobs, and one that merges their parts.
#
#   scripts/cluster/slurm_array.sh SOURCE OUT N [options of streamsparse reduce]
#   scripts/cluster/slurm_array.sh X.zarr Y.zarr 16 --method sketch --m 4096 --memory '4 GiB'
#
# SOURCE, OUT and the parts beside OUT must be on a file system that all nodes see. What the jobs ask
# Slurm for stands in SBATCH_* variables (SBATCH_PARTITION, SBATCH_TIMELIMIT, SBATCH_MEM_PER_NODE):
# a little more memory than --memory, which is 1 GiB where it is not given.
# Methods exact and sketch, which make one pass; "sample" makes two, each with an array and a merge.
#SBATCH --job-name=streamsparse
#SBATCH --requeue
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=4
set -euo pipefail

source=$1 out=$2 count=$3
shift 3
parts=$out.parts

if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
  # One job of the array. --resume: one that is queued again does nothing where its part is there.
  exec streamsparse reduce "$source" "$parts/$SLURM_ARRAY_TASK_ID" \
    --part "$SLURM_ARRAY_TASK_ID/$count" --resume "$@"
elif [[ -n ${SLURM_JOB_ID:-} ]]; then
  # The last job: refuses if a part is missing, and names it. Where all is well the parts go.
  [[ -n $(ls "$parts") ]] || { echo "no job of the array has left a part" >&2; exit 1; }
  streamsparse merge "$out" "$parts"/* --resume
  rm -r "$parts"
else
  # On the login node: read metadata, refuse what cannot work, and submit.
  streamsparse plan "$source" "$out" "$@"
  facts=$(streamsparse plan "$source" "$out" --json "$@")
  python3 - "$count" "$facts" <<'CHECK'
import json, sys

count, plan = int(sys.argv[1]), json.loads(sys.argv[2])
if plan["method"] not in ("exact", "sketch"):
    sys.exit(f"{plan['method']} cannot be summed in one array: use --method exact or sketch")
if count > plan["spans"]:
    sys.exit(f"{count} jobs are too many: X has {plan['spans']} spans; give at most that many")
CHECK
  mkdir -p "$parts"
  array=$(sbatch --parsable --array="1-$count" "$0" "$source" "$out" "$count" "$@")
  sbatch --dependency="afterok:${array%%;*}" "$0" "$source" "$out" "$count" "$@"
fi
