# What runs in a live session: it counts on from where the file is, on the terminal and in the file, and ends after about $1 seconds.
number=$(cat /tmp/session 2>/dev/null || echo 0)
last=$((number + 20 * $1))
while [ $number -lt $last ]; do
    number=$((number + 1))
    echo $number >/tmp/session.new && mv /tmp/session.new /tmp/session
    echo "round $number"
    sleep 0.05
done
echo "all rounds gone"
