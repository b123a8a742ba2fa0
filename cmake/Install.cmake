# cmake --install: installs a tree that may be moved to another place. find_package(levin) finds it and provides the target
# levin::levin.
#
#   include/levin/   headers          lib/             the library, cmake/levin/ its package
#   bin/levin        the program      libexec/levin/   examples, tests and benchmarks as programs, gpu-check, and the
#                                                      Python programs that it compares Levin with
#   share/levin/     the examples' sources and configurations
#
# Components: what isn't of one of these is for everybody who has a program or a project on Levin.
#   checks    libexec/levin but for what `packaged` has there
#   bundle    the libraries of this system that Levin needs besides LibTorch, for machines that lack them
#   packaged  installed after the others, makes a package's tree of this one: bin/levin becomes a script that finds LibTorch
#             (packaging/levin.sh.in), and nothing names a folder of this machine any more (Packages.cmake)
include_guard(GLOBAL)
include(CMakePackageConfigHelpers)

# levin_install_rpath(TO_PREFIX TARGETS...): makes the installed programs find the library and LibTorch. LibTorch is looked
# for beside the installed tree (torch/ or libtorch/), then in its folder at build time. TO_PREFIX is the relative path from
# the programs to the tree.
function(levin_install_rpath to_prefix)
  set(rpath "$ORIGIN/${to_prefix}/lib" "$ORIGIN/${to_prefix}/../torch/lib" "$ORIGIN/${to_prefix}/../libtorch/lib"
    "${LEVIN_TORCH_DIR}/lib")
  set_target_properties(${ARGN} PROPERTIES INSTALL_RPATH "${rpath}")
endfunction()

levin_install_rpath(.. levin levin_cli)
install(TARGETS levin EXPORT levin-targets LIBRARY DESTINATION lib)
install(TARGETS levin_cli RUNTIME DESTINATION bin)
install(DIRECTORY ${LEVIN_FOLDERS} DESTINATION include/levin FILES_MATCHING PATTERN "*.h"
  REGEX "/cli/new/templates$" EXCLUDE REGEX "/serving/service/page$" EXCLUDE)  # which have no headers
install(FILES levin.h DESTINATION include/levin)
install(FILES LICENSE DESTINATION share/doc/levin)
install(DIRECTORY examples DESTINATION share/levin)

foreach(kind IN ITEMS EXAMPLE TEST BENCHMARK)
  string(TOLOWER "libexec/levin/${kind}s" folder)
  if(LEVIN_${kind}_TARGETS)
    levin_install_rpath(../../.. ${LEVIN_${kind}_TARGETS})
    # Optional: `./run check` builds no benchmarks.
    install(TARGETS ${LEVIN_${kind}_TARGETS} RUNTIME DESTINATION ${folder} COMPONENT checks OPTIONAL)
  endif()
endforeach()
install(PROGRAMS scripts/gpu-check DESTINATION libexec/levin COMPONENT checks)
# What gpu-check compares Levin with, and its report.
install(FILES benchmarks/gpu_report.py benchmarks/report.py benchmarks/link_costs.py benchmarks/solver_curves.py
  DESTINATION libexec/levin/benchmarks COMPONENT checks)
install(FILES benchmarks/baselines/mnist.py benchmarks/baselines/program.py benchmarks/baselines/plain_pytorch.py
  benchmarks/baselines/with_lightning.py DESTINATION libexec/levin/benchmarks/baselines COMPONENT checks)
# Not executable, because gpu-check runs each program among the benchmarks that has gpu in its name.
install(FILES benchmarks/plot_cpu_gpu.py DESTINATION libexec/levin/benchmarks COMPONENT checks)

set(package_folder lib/cmake/levin)
install(EXPORT levin-targets NAMESPACE levin:: DESTINATION ${package_folder})
set(LEVIN_TORCH_OF_BUILD "${LEVIN_TORCH_DIR}")
configure_package_config_file(cmake/levinConfig.cmake.in "${PROJECT_BINARY_DIR}/levinConfig.cmake"
  INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file("${PROJECT_BINARY_DIR}/levinConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/levinConfig.cmake" "${PROJECT_BINARY_DIR}/levinConfigVersion.cmake"
  cmake/LibTorch.cmake DESTINATION ${package_folder})

# LibTorch's own libraries are left out. So are those of the C and C++ runtimes, which every system has and which must not be
# mixed with those of another system.
install(CODE [[
  file(GET_RUNTIME_DEPENDENCIES LIBRARIES "$<TARGET_FILE:levin>" RESOLVED_DEPENDENCIES_VAR found
    UNRESOLVED_DEPENDENCIES_VAR unresolved PRE_EXCLUDE_REGEXES
    "^lib(torch|c10|caffe2|cudart|nv|gomp)" "^lib(c|m|dl|rt|pthread|resolv|util|stdc\\+\\+|gcc_s)\\.so" "^ld-linux")
  foreach(library IN LISTS found)
    file(INSTALL "${library}" DESTINATION "${CMAKE_INSTALL_PREFIX}/lib/levin" FOLLOW_SYMLINK_CHAIN)
  endforeach()
]] COMPONENT bundle EXCLUDE_FROM_ALL)

include(Packages)
