#!/usr/bin/env bash
# usage: deploy/deps.sh [build|run|test|bench]   (default: build)
#
# Installs the Debian 12 packages that a task needs and that are missing.
# Silent and quick when all are there; without root it says what is missing.
set -eu

build=(
	gcc make pkg-config libc6-dev clang llvm bpftool libbpf-dev libelf-dev
	liblmdb-dev libzstd-dev liblz4-dev libxxhash-dev libroaring-dev
	libevent-dev libnghttp2-dev libjansson-dev libpcre2-dev
	libpcap-dev libcap-dev libbrotli-dev zlib1g-dev libcurl4-openssl-dev nettle-dev
)
run=("${build[@]}" curl libcap2-bin iproute2)
test=(
	"${run[@]}" libcriterion-dev libclang-rt-14-dev
	tshark jq nginx-light redis-server dnsmasq-base nftables bind9-dnsutils netcat-openbsd
	openssl python3 procps util-linux tcpdump ethtool
	mosquitto mosquitto-clients nats-server rabbitmq-server python3-pika python3-qpid-proton libsasl2-modules
	nghttp2-client nghttp2-server python3-grpcio
	python3-aiosmtpd python3-pyftpdlib dovecot-imapd dovecot-pop3d openssh-server openssh-client sip-tester
	slapd ldap-utils snmpd snmp freeradius freeradius-utils iputils-ping
	postgresql-15 mariadb-server-core mariadb-client libdbd-mysql-perl memcached python3-pymemcache unbound dnsperf caddy
)
bench=("${test[@]}" clickhouse-server clickhouse-client tcptrace wrk redis-tools zstd time bc wireshark-common gnuplot-nox)

set_name=${1:-build}
case $set_name in
build | run | test | bench) declare -n wanted=$set_name ;;
*)
	echo "usage: deploy/deps.sh [build|run|test|bench]" >&2
	exit 2
	;;
esac

installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
missing=()
for package in "${wanted[@]}"; do
	grep -qxF "$package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "missing packages for '$set_name'; as root: apt-get install ${missing[*]}" >&2
	exit 1
fi
echo "installing: ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
# We want the programs, not services on this machine's ports: no daemon starts.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
fi
apt-get update -qq </dev/null >&2
apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >&2
