# ./run package [deb] [tgz] [wheel]. This file is sourced by run. It builds the program and makes packages of it and of the
# library in build/packages, by default all three kinds (docs/installation.md). On a machine with a built program, it takes a
# minute.
[ $# -gt 0 ] || set -- deb tgz wheel
for kind; do
  case $kind in
    deb | tgz | wheel) ;;
    *) fail "unknown package $kind; there are deb, tgz and wheel" ;;
  esac
done
prepare
# dpkg-shlibdeps finds the packages that a .deb depends on, and file the programs of which it asks that; patchelf makes the libraries
# of a bundle find each other.
install_packages dpkg-dev file patchelf binutils python3-minimal
[ -n "$(sed -n 's/^LEVIN_PATCHELF:[A-Z]*=\(\/.*\)/\1/p' "$release/CMakeCache.txt")" ] || (cd "$root" && cmake "$release") >&2
build release levin_cli
packages_folder=$root/build/packages
mkdir -p "$packages_folder"
for kind; do
  rm -f "$packages_folder"/*."$(echo "$kind" | sed 's/tgz/tar.gz/; s/wheel/whl/')"  # perhaps of another version
  if [ "$kind" = wheel ]; then
    tree=$packages_folder/tree
    rm -rf "$tree"
    for component in Unspecified bundle packaged; do
      cmake --install "$release" --prefix "$tree" --component $component --strip >/dev/null ||
        fail "cmake --install failed"
    done
    version=$(sed -n 's/^CMAKE_PROJECT_VERSION:[A-Z]*=//p' "$release/CMakeCache.txt")
    python3 "$root/scripts/make_wheel.py" --tree "$tree" --version "$version" --torch "${torch_version%.*}" \
      "$packages_folder" || fail "the wheel could not be made"
    rm -rf "$tree"
  else
    generator=$(echo "$kind" | tr '[:lower:]' '[:upper:]')
    cpack -G "$generator" --config "$release/CPackConfig.cmake" -B "$packages_folder" >"$packages_folder/$kind.log" 2>&1 || {
      cat "$packages_folder/$kind.log" >&2
      fail "cpack could not make the $kind package"
    }
    sed -n 's/^CPack: - package: \(.*\) generated\.$/\1/p' "$packages_folder/$kind.log"
  fi
done
rm -rf "$packages_folder/_CPack_Packages"
