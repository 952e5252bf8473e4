# Commands come in over the virtual console, answers go out over it; see vm-tests/driver/guest.py.
export HOME=/root USER=root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /tmp || exit 1
exec < /dev/hvc0 > /dev/hvc0 2> /dev/ttyS0
stty raw -echo
echo "guest shell ready"
# As a script, not as a keyboard: an interactive shell would edit the lines it reads.
exec /bin/bash --norc /dev/hvc0
