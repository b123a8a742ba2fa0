# Summarises a run of the tests: awk -f summary.awk CTEST_JUNIT CASES/*.xml, where CTEST_JUNIT was written by ctest
# --output-junit, and CASES/*.xml by the GoogleTest executables, one file for each test suite.
#
# Prints how many cases passed, failed and were skipped, the names of the failed ones, the reasons of the skipped ones, and the
# ten slowest tests.
function text(line) {
  gsub(/&quot;/, "\"", line); gsub(/&apos;/, "'", line); gsub(/&lt;/, "<", line); gsub(/&gt;/, ">", line)
  gsub(/&#x0A;/, "\n", line); gsub(/&amp;/, "\\&", line)
  sub(/^[ \t]+/, "", line)
  return line
}
function attribute(name,  pattern) {
  pattern = " " name "=\"[^\"]*\""
  if (!match($0, pattern)) return ""
  return text(substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 4))
}
function skip(name, why) {
  skipped++
  count[why]++
  names[why] = names[why] (names[why] == "" ? "" : ", ") name
}
function fail(name) { failed++; failures = failures "\n  " name }
function took(name, seconds) {  # keeps the ten slowest, longest first
  for (at = slow; at > 0 && slow_seconds[at] < seconds; at--) {
    slow_seconds[at + 1] = slow_seconds[at]; slow_name[at + 1] = slow_name[at]
  }
  if (at >= 10) return
  slow_seconds[at + 1] = seconds; slow_name[at + 1] = name
  if (slow < 10) slow++
}

FNR == 1 { is_ctest = NR == 1 }

# ctest's report. Of a GoogleTest suite, only whether it failed is taken from here; its cases are counted below.
is_ctest && /<testcase / {
  name = attribute("name"); status = attribute("status"); seconds = attribute("time") + 0
  is_suite = name ~ /^[a-z]+_test(\.|$)/
  last = ""
}
is_ctest { line = text($0); sub(/^<system-out>/, "", line); sub(/<\/system-out>.*$/, "", line); if (line != "" && line !~ /^</) last = line }
is_ctest && /<\/testcase>/ {
  if (is_suite) {
    if (status == "fail") unfinished[name] = 1
  } else {
    took(name, seconds)
    if (status == "run") passed++
    else if (status == "fail") fail(name)
    else skip(name, last)  # an example's reason is the last line it prints
  }
}

# GoogleTest's reports have one element per line.
!is_ctest && FNR == 1 { file = FILENAME; sub(/^.*\//, "", file); sub(/\.xml$/, "", file) }
!is_ctest && /<testcase / {
  name = attribute("classname") "." attribute("name")
  took(name, attribute("time") + 0)
  state = attribute("status") == "notrun" ? "notrun" : attribute("result") == "skipped" ? "skipped" : "passed"
  why = ""
  if (/\/>$/) finish()
}
!is_ctest && /<failure / { state = "failed" }
!is_ctest && /<skipped / { why = attribute("message"); sub(/^[^\n]*\n/, "", why); sub(/\n.*$/, "", why); state = "skipped" }
!is_ctest && /<\/testcase>/ { finish() }
function finish() {
  if (state == "passed") passed++
  else if (state == "failed") { fail(name); delete unfinished[file] }
  else if (state == "skipped") skip(name, why)
}

END {
  for (name in unfinished) fail(name " (ended before its cases did)")
  printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
  if (failed) print "failed:" failures
  for (why in count) printf "skipped %d (%s): %s\n", count[why], why, names[why]
  print "the slowest tests:"
  for (at = 1; at <= slow; at++) printf "  %6.1f s  %s\n", slow_seconds[at], slow_name[at]
}
