# Two hosts joined by a veth, and the servers on one of them; everything ends with the shell that sourced this.
# shellcheck shell=bash

bench_dir=$(mktemp -d "${TMPDIR:-/tmp}/tapedeck-bench.XXXXXX")
bench_id=b$$
bench_pids=()

bench_cleanup() {
	local pid
	for pid in "${bench_pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${bench_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	[ -n "$bench_client" ] && kill "$bench_client" 2>/dev/null
	[ -n "$bench_server" ] && kill "$bench_server" 2>/dev/null
	rm -rf "$bench_dir"
}
trap bench_cleanup EXIT
bench_client= bench_server=

# A network namespace is held by a sleeping process, so that nothing is left behind in /run.
bench_namespaces() {
	unshare -n sleep 3600 & bench_client=$!
	unshare -n sleep 3600 & bench_server=$!
	sleep 0.2
	ip link add "${bench_id}c" type veth peer name "${bench_id}s"
	ip link set "${bench_id}c" netns "$bench_client" name eth0
	ip link set "${bench_id}s" netns "$bench_server" name eth0
	on_client ip addr add 10.77.0.1/24 dev eth0
	on_server ip addr add 10.77.0.2/24 dev eth0
	for on in on_client on_server; do
		$on ip link set lo up
		$on ip link set eth0 up
		# Frames as a wire carries them, not 64 KiB ones.
		$on ethtool -K eth0 tso off gso off gro off tx off rx off >/dev/null 2>&1
	done
}
on_client() { nsenter --net="/proc/$bench_client/ns/net" "$@"; }
on_server() { nsenter --net="/proc/$bench_server/ns/net" "$@"; }

# start COMMAND...: in the server's namespace, ended at exit
start() {
	nsenter --net="/proc/$bench_server/ns/net" "$@" >>"$bench_dir/servers.log" 2>&1 &
	bench_pids+=($!)
}

# 20,000 distinct JSON documents of 0.2 to 12 kB, as an API would give them.
bench_bodies() {
	mkdir -p "$bench_dir/www/items"
	awk -v dir="$bench_dir/www/items" 'BEGIN {
		srand(7); split("blue red green large small cotton steel oak paper glass light heavy new used rare", w, " ")
		for (i = 0; i < 20000; i++) {
			n = 1 + int(exp(rand() * 4.2)); file = dir "/" i ".json"
			printf "{\"id\":%d,\"sku\":\"%08x\",\"items\":[", i, rand() * 4294967295 > file
			for (j = 0; j < n; j++)
				printf "%s{\"uid\":\"%08x-%04x-%08x\",\"name\":\"%s %s\",\"price\":%.2f,\"stock\":%d,\"updated\":\"2026-%02d-%02dT%02d:%02d:%02dZ\"}", \
					j ? "," : "", rand() * 4294967295, rand() * 65535, rand() * 4294967295, w[1 + int(rand() * 15)], \
					w[1 + int(rand() * 15)], rand() * 500, rand() * 1000, 1 + rand() * 12, 1 + rand() * 28, rand() * 24, rand() * 60, rand() * 60 > file
			print "]}" > file
			close(file)
		}
	}'
}

bench_servers() {
	local dir=$bench_dir
	chmod 755 "$dir"
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=bench -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
	cat >"$dir/nginx.conf" <<-EOF
		daemon off; worker_processes 1; pid $dir/nginx.pid; error_log $dir/nginx.err;
		events { worker_connections 4096; }
		http {
			access_log off; keepalive_requests 200; client_body_temp_path $dir/body; proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s; default_type application/json;
			server {
				listen 80; listen 443 ssl; ssl_certificate $dir/cert.pem; ssl_certificate_key $dir/key.pem;
				root $dir/www;
				location /orders { return 201 "{\"order\":\"\$request_id\"}"; }
				location /fail { return 503; }
			}
		}
	EOF
	start nginx -c "$dir/nginx.conf"
	start redis-server --port 6379 --bind 10.77.0.2 --protected-mode no --save "" --dir "$dir"
	start dnsmasq --no-daemon --no-resolv --no-hosts --port=53 --listen-address=10.77.0.2 --bind-interfaces \
		--address=/shop.test/10.77.0.2 --address=/example.test/192.0.2.7 --log-facility=- --pid-file="$dir/dnsmasq.pid"
	cat >"$dir/shop.lua" <<-'EOF'
		local n = 0
		function init(args) math.randomseed(42) end
		function request()
			n = n + 1
			if n % 7 == 0 then
				local body = string.format('{"customer":"%08x","cart":[%d,%d,%d],"note":"%s"}', math.random(0, 2^31),
					math.random(1, 9999), math.random(1, 9999), math.random(1, 9999), string.rep(string.char(97 + n % 26), n % 600))
				return wrk.format("POST", "/orders", { ["Content-Type"] = "application/json", ["User-Agent"] = "shop/1.2" }, body)
			elseif n % 97 == 0 then
				return wrk.format("GET", "/missing/" .. n)
			elseif n % 211 == 0 then
				return wrk.format("GET", "/fail")
			end
			return wrk.format("GET", "/items/" .. math.random(0, 19999) .. ".json", { ["User-Agent"] = "shop/1.2" })
		end
	EOF
	awk 'BEGIN { srand(3); for (i = 0; i < 20000; i++) printf "%s%d.%s %s\n", rand() < .3 ? "api" : "www", rand() * 3000, rand() < .8 ? "shop.test" : "example.test", rand() < .7 ? "A" : "AAAA" }' >"$dir/names.txt"
	sleep 1
}
