# cmake --install: a tree that can be moved, and find_package(levin) -> levin::levin.
#
#   include/levin/   headers          lib/             the library, cmake/levin/ its package
#   bin/levin        the program      libexec/levin/   examples, tests and benchmarks as programs, and gpu-check
#   share/levin/     the examples' sources and configurations
#
# The component `bundle` adds what the library needs of this system besides LibTorch, for a machine that lacks it.
include_guard(GLOBAL)
include(CMakePackageConfigHelpers)

# Where programs find the library and LibTorch: beside the tree (torch/ or libtorch/), or where it was at build time.
function(levin_install_rpath to_prefix)
  set(rpath "$ORIGIN/${to_prefix}/lib" "$ORIGIN/${to_prefix}/../torch/lib" "$ORIGIN/${to_prefix}/../libtorch/lib"
    "${LEVIN_TORCH_DIR}/lib")
  set_target_properties(${ARGN} PROPERTIES INSTALL_RPATH "${rpath}")
endfunction()

levin_install_rpath(.. levin levin_cli)
install(TARGETS levin EXPORT levin-targets LIBRARY DESTINATION lib)
install(TARGETS levin_cli RUNTIME DESTINATION bin)
install(DIRECTORY ${LEVIN_FOLDERS} DESTINATION include/levin FILES_MATCHING PATTERN "*.h")
install(FILES levin.h DESTINATION include/levin)
install(FILES LICENSE DESTINATION share/doc/levin)
install(DIRECTORY examples DESTINATION share/levin)

foreach(kind IN ITEMS EXAMPLE TEST BENCHMARK)
  string(TOLOWER "libexec/levin/${kind}s" folder)
  if(LEVIN_${kind}_TARGETS)
    levin_install_rpath(../../.. ${LEVIN_${kind}_TARGETS})
    install(TARGETS ${LEVIN_${kind}_TARGETS} RUNTIME DESTINATION ${folder})
  endif()
endforeach()
install(PROGRAMS scripts/gpu-check DESTINATION libexec/levin)

set(package_folder lib/cmake/levin)
install(EXPORT levin-targets NAMESPACE levin:: DESTINATION ${package_folder})
configure_package_config_file(cmake/levinConfig.cmake.in "${PROJECT_BINARY_DIR}/levinConfig.cmake"
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/levinConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/levinConfig.cmake" "${PROJECT_BINARY_DIR}/levinConfigVersion.cmake"
  cmake/LibTorch.cmake DESTINATION ${package_folder})

# Not LibTorch's own, nor what every system has and must not mix: libc, libstdc++, the loader.
install(CODE [[
  file(GET_RUNTIME_DEPENDENCIES LIBRARIES "$<TARGET_FILE:levin>" RESOLVED_DEPENDENCIES_VAR found
    UNRESOLVED_DEPENDENCIES_VAR unresolved PRE_EXCLUDE_REGEXES
    "^lib(torch|c10|caffe2|cudart|nv|gomp)" "^lib(c|m|dl|rt|pthread|resolv|util|stdc\\+\\+|gcc_s)\\.so" "^ld-linux")
  foreach(library IN LISTS found)
    file(INSTALL "${library}" DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/levin" FOLLOW_SYMLINK_CHAIN)
  endforeach()
]] COMPONENT bundle EXCLUDE_FROM_ALL)
