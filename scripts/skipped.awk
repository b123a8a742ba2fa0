# Reads the file that ctest --output-junit wrote. Prints how many tests passed, failed and were skipped, and for the skipped
# ones the reasons.
function text(line) {
  gsub(/&quot;/, "\"", line); gsub(/&apos;/, "'", line); gsub(/&lt;/, "<", line)
  gsub(/&gt;/, ">", line); gsub(/&amp;/, "\\&", line)
  sub(/^[ \t]+/, "", line)
  return line
}
/<testcase / {
  match($0, / name="[^"]*"/); name = text(substr($0, RSTART + 7, RLENGTH - 8))
  match($0, / status="[^"]*"/); status = substr($0, RSTART + 9, RLENGTH - 10)
  why = ""; next_is_why = 0; last = ""
}
# GoogleTest prints the reason after a line "file.cpp:12: Skipped". An example prints the reason as its last line.
next_is_why && why == "" { why = text($0); next_is_why = 0 }
/: Skipped$/ { next_is_why = 1 }
{ line = text($0); sub(/^<system-out>/, "", line); sub(/<\/system-out>.*$/, "", line); if (line != "" && line !~ /^</) last = line }
/<\/testcase>/ {
  if (status == "run") passed++
  else if (status == "fail") { failed++; failures = failures "\n  " name }
  else if (status == "disabled") disabled++
  else { skipped++; if (why == "") why = last; count[why]++; names[why] = names[why] (names[why] == "" ? "" : ", ") name }
}
END {
  printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
  if (failed) print "failed:" failures
  for (why in count) printf "skipped %d (%s): %s\n", count[why], why, names[why]
}
