# birthmark-tell UNIT: sends what UNIT said last to $ALARM_URL, to $ALARM_COMMAND, or to both.
unit=$1
alarm=$(
    echo "$(uname -n): $unit has failed"
    # Only its last run, and only a few lines: what a daemon logs names no photo's owner, but it stays on this machine as far
    # as it can.
    journalctl --quiet --no-pager --output=cat --lines=5 --unit="$unit" || true
)
echo "$alarm"
failed=0
if [ -n "$ALARM_URL" ]; then
    # By a file, since everybody can read a process's arguments.
    {
        printf 'url = "%s"\n' "$ALARM_URL"
        if [ -e "${CREDENTIALS_DIRECTORY:-}/token" ]; then
            printf 'header = "Authorization: Bearer %s"\n' "$(tr -d '\n' < "$CREDENTIALS_DIRECTORY/token")"
        fi
    } | curl --config - --silent --show-error --fail --max-time 30 --header 'Content-Type: text/plain; charset=utf-8' \
        --data-binary "$alarm" --output /dev/null || failed=1
fi
if [ -n "$ALARM_COMMAND" ]; then
    printf '%s\n' "$alarm" | sh -c "$ALARM_COMMAND" || failed=1
fi
exit "$failed"
