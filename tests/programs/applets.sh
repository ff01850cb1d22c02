# SPDX-License-Identifier: MIT
# More than thirty busybox applets on made-up files; what it prints depends on nothing else.
b=./busybox
$b seq 1 200 | $b awk '{ printf "%d %s line %d\n", ($1 * 7919) % 1009, ($1 % 3) ? "odd" : "even", $1 }' >work/a
$b sort -n work/a >work/sorted
$b head -n 3 work/sorted
$b tail -n 2 work/sorted
$b cut -d' ' -f2 work/a | $b sort | $b uniq -c
$b wc work/a
$b tr a-z A-Z <work/a | $b sed -n '5,7p;s/LINE/ROW/gp' | $b head -n 4
$b grep -c 'odd line 1[0-9]*$' work/a
$b egrep '^(7|9)[0-9]+ even' work/a | $b head -n 2
$b sha256sum work/a
$b sha512sum work/a | $b cut -c1-32
$b md5sum work/a
$b cksum work/a
$b gzip -c work/a >work/a.gz && $b gunzip -c work/a.gz | $b cmp - work/a && echo gzip
$b bzip2 -c work/a >work/a.bz2 && $b bunzip2 -c work/a.bz2 | $b cmp - work/a && echo bzip2
$b od -A d -t x1 work/a | $b head -n 2
$b hexdump -C work/a | $b tail -n 2
$b expr 6 '*' 7
$b factor 1234567890
$b printf '%05d|%-6s|%x\n' 42 ab 255
$b test -s work/a && echo test
$b tac work/sorted | $b head -n 1
$b rev work/sorted | $b head -n 1
$b fold -w 7 work/sorted | $b head -n 2
$b paste work/sorted work/a | $b head -n 2
$b comm -12 work/sorted work/sorted | $b wc -l
$b sed 's/7/seven/' work/a | $b diff work/a - | $b head -n 4
$b mkdir -p work/d/e && $b cp work/a work/d/e/b && $b mv work/d/e/b work/d/c && $b rmdir work/d/e
$b find work -type f | $b sort | $b xargs $b md5sum
$b basename /x/y.c .c
$b dirname /x/y.c
$b base64 work/a | $b head -n 1
$b tar cf - work/d/c work/a | $b tar tf -
echo 'scale=20; 4*a(1)' | $b bc -l
echo '2 100 ^ p' | $b dc
$b nl work/a | $b head -n 1
$b expand work/sorted | $b md5sum
$b split -l 100 work/a work/part && $b ls work
$b ln -s a work/link && $b readlink work/link && $b cat work/link | $b head -n 1
$b dd if=work/a of=work/dd bs=512 count=2 2>/dev/null && $b wc -c <work/dd
$b awk 'BEGIN { for (i = 0; i < 5; i++) s = s sprintf("%.6f ", sin(i) * exp(i)); print s }'
$b strings work/a.gz | $b wc -l >/dev/null && echo strings
$b chmod 600 work/a && $b stat -c '%a %s' work/a
$b touch work/new && $b rm work/new && [ ! -e work/new ] && echo rm
i=0
while [ $i -lt 5 ]; do i=$((i + 1)); done
echo $i | $b tee work/tee
(exit 3) || echo "status $?"
