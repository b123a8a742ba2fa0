# ./run docs [--check]. This file is sourced by run, and by check.sh for its functions. It builds the site of the documentation
# into build/site; with --check it also looks for dead links, and at its pages in headless Chromium.
docs_tools=$root/.deps/docs
docs_packages="mkdocs==1.6.1 mkdocs-material==9.8.2 selenium pyyaml"
docs_axe="axe-playwright-python==0.1.8"  # for its copy of axe-core alone: without what it depends on

# Installs mkdocs and what the pages are checked with into .deps/docs.
install_docs_tools() {
  python=$docs_tools/bin/python
  stamp=$docs_tools/.installed
  [ "$(cat "$stamp" 2>/dev/null)" != "$docs_packages $docs_axe" ] || return 0
  say "documentation: installing mkdocs into .deps/docs (60 MB)"
  [ -x "$python" ] || python3 -m venv "$docs_tools" >&2 || return 1
  # shellcheck disable=SC2086  # a list of words
  "$python" -m pip install --quiet --disable-pip-version-check $docs_packages >&2 9>&- &&
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps "$docs_axe" >&2 9>&- || return 1
  echo "$docs_packages $docs_axe" >"$stamp"
}

build_docs() {
  "$docs_tools/bin/python" -B "$root/scripts/docs/build_site.py" --levin "$release/bin/levin" --output "$root/build/site"
}

check_docs() {
  "$docs_tools/bin/python" -B "$root/tests/docs/check_site.py" "$root/build/site" --browser --levin "$release/bin/levin" ||
    [ $? = 77 ]
}

if [ "${verb:-}" = docs ]; then
  check=
  case ${1:-} in
    '') ;;
    --check) check=1 ;;
    *) fail "unknown argument $1; ./run docs only takes --check" ;;
  esac
  prepare
  # shellcheck disable=SC2086  # lists of words
  install_packages $python_packages doxygen
  build_program
  exec 9>&-
  install_docs_tools || fail "the packages for the documentation could not be installed" "Its last lines say why." \
    "Often there is no network. Fix that and call ./run docs again."
  build_docs || fail "the site could not be built" "The lines above say why."
  [ -z "$check" ] || check_docs || fail "the site has faults" "The lines above name them."
  say "the site is in $root/build/site: open $root/build/site/index.html"
fi
