#!/bin/sh
# scripts/summary.awk on reports made up here: every case counts once, a suite that ended early fails, and the slowest
# tests come first. summary_test.sh SOURCE_FOLDER
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/ctest.xml" <<'END'
<testsuite name="Linux-c++" tests="4" failures="1" disabled="0" skipped="1" hostname="" time="3" timestamp="">
	<testcase name="plain_test.Good" classname="plain_test.Good" time="0.2" status="run">
	</testcase>
	<testcase name="plain_test.Bad" classname="plain_test.Bad" time="0.2" status="fail">
		<failure message=""/>
	</testcase>
	<testcase name="plain_test.Crashed" classname="plain_test.Crashed" time="0.2" status="fail">
		<failure message=""/>
	</testcase>
	<testcase name="example.iris" classname="example.iris" time="2.5" status="run">
	</testcase>
	<testcase name="example.mnist" classname="example.mnist" time="0.1" status="notrun">
		<system-out>first line
no MNIST here
</system-out>
	</testcase>
</testsuite>
END
cat >"$work/plain_test.Good.xml" <<'END'
<testsuites>
    <testcase name="a" file="x" line="1" status="run" result="completed" time="0.5" classname="Good" />
    <testcase name="b" file="x" line="1" status="run" result="skipped" time="0" classname="Good">
      <skipped message="/x.cpp:12&#x0A;no GPU"><![CDATA[/x.cpp:12
no GPU]]></skipped>
    </testcase>
    <testcase name="c" file="x" line="1" status="notrun" result="suppressed" time="0" classname="Good" />
END
cat >"$work/plain_test.Bad.xml" <<'END'
    <testcase name="a" file="x" line="1" status="run" result="completed" time="1.5" classname="Bad">
      <failure message="a &lt; b" type=""><![CDATA[a < b]]></failure>
    </testcase>
END
awk -f "$1/scripts/summary.awk" "$work/ctest.xml" "$work"/plain_test.*.xml >"$work/out"
cat >"$work/expected" <<'END'
2 passed, 2 failed, 2 skipped
failed:
  Bad.a
  plain_test.Crashed (ended before its cases did)
skipped 1 (no GPU): Good.b
skipped 1 (no MNIST here): example.mnist
the slowest tests:
     2.5 s  example.iris
     1.5 s  Bad.a
     0.5 s  Good.a
     0.1 s  example.mnist
     0.0 s  Good.b
     0.0 s  Good.c
END
# awk keeps no order among the reasons.
sort "$work/out" >"$work/out.sorted"
sort "$work/expected" >"$work/expected.sorted"
diff "$work/expected.sorted" "$work/out.sorted"
grep -A 6 'slowest' "$work/expected" >"$work/order"
grep -A 6 'slowest' "$work/out" | diff "$work/order" -
echo "the summary is as expected"
