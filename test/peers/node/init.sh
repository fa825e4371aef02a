#!/usr/bin/env bash
# PID 1 of the node: gives it its own /proc, /sys, cgroups, folders and network, then starts what boot.sh says.
# What the programs write below /etc, /opt, /usr, /var and /run stays in FOLDER; the machine keeps its own.
set -eu
folder=$1
# /proc is still the machine's, which sees this process under another number.
read -r pid _ < /proc/self/stat
hostname attache-node
umount -R /proc
mount -t proc proc /proc
umount -R /sys
mount -t sysfs sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
while read -r path; do
  controllers=${path#/sys/fs/cgroup/}
  controllers=${controllers%%/*}
  mkdir "/sys/fs/cgroup/$controllers"
  mount -t cgroup -o "$controllers" cgroup "/sys/fs/cgroup/$controllers"
done < "$folder/cgroups"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock
for name in etc opt usr var; do
  mkdir -p "$folder/upper/$name" "$folder/scratch/$name"
  mount -t overlay -o "lowerdir=/$name,upperdir=$folder/upper/$name,workdir=$folder/scratch/$name" overlay "/$name"
done
# Snapshots of containers cannot lie on an overlay.
for name in /var/lib/kubelet /var/lib/containerd; do
  mkdir -p "$folder/disk$name" $name
  mount --bind "$folder/disk$name" $name
done
# The kubelet would set these for the whole machine, unless they are so already.
mkdir -p "$folder/sysctl"
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=$folder/sysctl/${setting//\//.}
  echo "${setting#*=}" > "$file"
  mount --bind "$file" "/proc/sys/${setting%=*}"
done
mount --make-rshared /
ip link set lo up
ip link add node0 type veth peer name outside
ip address add 172.30.0.2/24 dev node0
ip link set node0 up
ip link set outside up
# It leads nowhere: addresses of Services need a route before they are translated.
ip route add default via 172.30.0.1 dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward

# run NAME COMMAND…: in the background, again whenever it ends.
run() {
  local log="$folder/log/$1"
  shift
  while :; do
    "$@" >> "$log" 2>&1 || echo "$1 ended with $?" >> "$log"
    sleep 0.5
  done &
}
. "$folder/boot.sh"
echo "$pid" > "$folder/pid"
trap : TERM
while :; do wait || sleep 1; done
