# birthmark-healthy FOLDER SECONDS [DAEMON URL]...: whether each daemon that has worked on this machine works. One that does is
# noted in FOLDER; one that never did (no keys yet, no registry) has nothing to lose by an upgrade, and fails nobody.
folder=$1
patience=$2
shift 2
until=$(($(date +%s) + patience))
wrong=0
while [ $# -gt 0 ]; do
    daemon=$1 url=$2
    shift 2
    # What curl wants to be told of a socket in the file system.
    case $url in
        unix:*) address=(--unix-socket "${url#unix:}" http://localhost/health) ;;
        *) address=("$url/health") ;;
    esac
    while ! said=$(curl --silent --show-error --fail --max-time 20 --output /dev/null "${address[@]}" 2>&1); do
        if [ ! -e "$folder/$daemon" ]; then
            echo "birthmark-$daemon has not worked on this machine yet"
            break
        fi
        if [ "$(date +%s)" -ge "$until" ]; then
            echo "birthmark-$daemon worked before and does not now: $said" >&2
            wrong=1
            break
        fi
        sleep 2
    done
    if [ -z "$said" ] && [ ! -e "$folder/$daemon" ]; then
        touch "$folder/$daemon"
    fi
done
exit "$wrong"
