#!/usr/bin/env bash
# A SLURM cluster of this machine alone, two CPUs and a pretended GPU, for the system tests:
#   slurm.sh start FOLDER | slurm.sh stop FOLDER      (as root; /etc/slurm is overwritten, then emptied)
set -euo pipefail
folder=$2
case $1 in
start)
  if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null
  fi
  mkdir -p "$folder/state" "$folder/spool" /etc/slurm /run/munge
  chown munge /run/munge
  # jobs do not inherit SLURM_CONF: the files have to be there
  name=$(hostname)
  sed "s|FOLDER|$folder|; s|HOST|$name|g" >/etc/slurm/slurm.conf <<'CONF'
ClusterName=local
SlurmctldHost=HOST(127.0.0.1)
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=FOLDER/state
SlurmdSpoolDir=FOLDER/spool
SlurmctldPidFile=FOLDER/slurmctld.pid
SlurmdPidFile=FOLDER/slurmd.pid
SlurmctldLogFile=FOLDER/slurmctld.log
SlurmdLogFile=FOLDER/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=2
MinJobAge=600
GresTypes=gpu
NodeName=HOST NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=HOST Default=YES MaxTime=INFINITE State=UP
CONF
  echo "Name=gpu File=/dev/zero" >/etc/slurm/gres.conf
  munge -n 2>/dev/null | unmunge >/dev/null 2>&1 || setpriv --reuid=munge --regid=munge --clear-groups /usr/sbin/munged
  slurmctld
  slurmd
  for _ in $(seq 30); do
    if [ "$(sinfo -h -o %T)" = idle ]; then exit 0; fi
    sleep 1
  done
  tail "$folder"/*.log >&2
  exit 1
  ;;
stop)
  scancel -u "$(id -un)" || true
  for daemon in slurmd slurmctld; do
    if [ -f "$folder/$daemon.pid" ]; then kill "$(cat "$folder/$daemon.pid")" || true; fi
  done
  pkill -x munged || true
  # Snakemake's plugin asks SLURM at each start, and waits nine seconds for one that is configured and not there
  rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
  ;;
esac
