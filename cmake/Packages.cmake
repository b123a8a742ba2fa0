# Packages of the program and the library, for machines without a compiler: `./run package` calls cpack for a .deb and a
# .tar.gz, and scripts/make_wheel.py for a wheel. No package contains LibTorch; packaging/levin.sh.in finds it.
#
# The .deb depends on Debian's packages of the other libraries. The .tar.gz and the wheel contain these libraries.
include_guard(GLOBAL)

# --- the component `packaged` -----------------------------------------------------------------------------------------
string(REGEX MATCH "^[0-9]+\\.[0-9]+" LEVIN_TORCH_SERIES "${LEVIN_TORCH_VERSION}")
configure_file(packaging/levin.sh.in "${PROJECT_BINARY_DIR}/packaged/levin" @ONLY)
set(LEVIN_TORCH_OF_BUILD "")
configure_package_config_file(cmake/levinConfig.cmake.in "${PROJECT_BINARY_DIR}/packaged/levinConfig.cmake"
  INSTALL_DESTINATION ${package_folder})

# The libraries of a bundle find each other. Debian's have no search path of their own, so CMake can't change it.
find_program(LEVIN_PATCHELF patchelf)
mark_as_advanced(LEVIN_PATCHELF)

install(CODE "set(old_rpath [[$ORIGIN/../lib:$ORIGIN/../../torch/lib:$ORIGIN/../../libtorch/lib:${LEVIN_TORCH_DIR}/lib]])
set(library [[$<TARGET_FILE_NAME:levin>]])
set(patchelf [[${LEVIN_PATCHELF}]])" COMPONENT packaged EXCLUDE_FROM_ALL)
install(CODE [[
  set(tree "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}")
  file(MAKE_DIRECTORY "${tree}/libexec/levin")
  file(RENAME "${tree}/bin/levin" "${tree}/libexec/levin/levin")
  file(RPATH_CHANGE FILE "${tree}/libexec/levin/levin" OLD_RPATH "${old_rpath}"
    NEW_RPATH "$ORIGIN/../../lib:$ORIGIN/../../../torch/lib")
  file(RPATH_CHANGE FILE "${tree}/lib/${library}" OLD_RPATH "${old_rpath}" NEW_RPATH "$ORIGIN/levin:$ORIGIN/../../torch/lib")
  file(GLOB bundled "${tree}/lib/levin/*.so*")
  if(bundled AND NOT patchelf)
    message(FATAL_ERROR "a package with the libraries of this system needs patchelf; install it and configure again")
  endif()
  foreach(file IN LISTS bundled)
    if(NOT IS_SYMLINK "${file}")
      execute_process(COMMAND "${patchelf}" --set-rpath "$ORIGIN" "${file}" RESULT_VARIABLE failed)
      if(failed)
        message(FATAL_ERROR "${patchelf} failed for ${file}")
      endif()
    endif()
  endforeach()
]] COMPONENT packaged EXCLUDE_FROM_ALL)
install(PROGRAMS "${PROJECT_BINARY_DIR}/packaged/levin" DESTINATION bin COMPONENT packaged EXCLUDE_FROM_ALL)
install(FILES "${PROJECT_BINARY_DIR}/packaged/levinConfig.cmake" DESTINATION ${package_folder}
  COMPONENT packaged EXCLUDE_FROM_ALL)

# --- CPack ------------------------------------------------------------------------------------------------------------
set(CPACK_GENERATOR "DEB;TGZ")
set(CPACK_PACKAGE_NAME levin)
set(CPACK_PACKAGE_VENDOR "Levin")
set(CPACK_SYSTEM_NAME "linux-${CMAKE_SYSTEM_PROCESSOR}")
set(CPACK_PACKAGE_CONTACT "The developers of Levin")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_RESOURCE_FILE_LICENSE "${PROJECT_SOURCE_DIR}/LICENSE")
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_CMAKE_PROJECTS "${PROJECT_BINARY_DIR};levin;Unspecified;/" "${PROJECT_BINARY_DIR};levin;packaged;/")

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "It trains, tunes and serves models. LibTorch isn't part of this package; the program says how
 to get it.")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3-venv")  # pip installs LibTorch
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "g++, cmake, ninja-build")
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${LEVIN_TORCH_RPATH})  # no package has these
# Each kind of package is made by a run of cpack of its own, which reads this file.
file(WRITE "${PROJECT_BINARY_DIR}/packaged/options.cmake" [[
if(CPACK_GENERATOR STREQUAL "DEB")
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
else()  # the libraries of the bundle come before `packaged`, which makes them find each other
  list(GET CPACK_INSTALL_CMAKE_PROJECTS 0 build)
  list(INSERT CPACK_INSTALL_CMAKE_PROJECTS 4 "${build}" levin bundle /)
endif()
]])
set(CPACK_PROJECT_CONFIG_FILE "${PROJECT_BINARY_DIR}/packaged/options.cmake")
include(CPack)
