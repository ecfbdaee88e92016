#!/usr/bin/env bash
#
# Checks the health of a program within the images.
#
# usage: swfn-health coordinator [PORT]   whether it answers on its port for workers [default: 7077]
#        swfn-health worker               whether a process trains or waits for trials on any device
#
# The coordinator's answer depends neither on its disk nor on workers, and comes before TLS and
# token. It only shows that the program is alive; /readyz of the dashboard shows whether a sweep
# goes on.

set -u

coordinator() {
    local port=${1:-7077} answer
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    # HTTP/2 begins like this. A server without TLS sends its settings, a frame of type 4. A server
    # with TLS reports a broken record in an alert, type 21.
    printf 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' >&3
    answer=$(timeout 5 head -c 4 <&3 | od -A n -t x1 | tr -d ' \n')
    [[ $answer == ??????04 || $answer == 15* ]]
}

worker() {
    local file
    for file in /proc/[0-9]*/cmdline; do
        # The supervisor's children are `swfn-worker device --setup FILE`.
        if tr '\0' ' ' 2>/dev/null <"$file" | grep -q '^[^ ]*swfn-worker device '; then
            return 0
        fi
    done
    return 1
}

case ${1:-} in
    coordinator) coordinator "${2:-}" ;;
    worker) worker ;;
    *)
        echo "usage: swfn-health coordinator [PORT] | worker" >&2
        exit 2
        ;;
esac
