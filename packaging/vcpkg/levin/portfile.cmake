# Builds Levin from the clone that this port is in. LibTorch isn't a port: LEVIN_TORCH_DIR, an environment variable, names the
# folder of one.
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT EXISTS "$ENV{LEVIN_TORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LEVIN_TORCH_DIR = '$ENV{LEVIN_TORCH_DIR}' has no lib/libtorch_cpu.so. Set it to the torch folder of a "
    "Python installation with torch 2.11 (pip install torch==2.11.0).")
endif()

set(VCPKG_BUILD_TYPE release)
set(VCPKG_POLICY_MISMATCHED_NUMBER_OF_BINARIES enabled)  # there are none for debugging
set(X_VCPKG_RPATH_KEEP_SYSTEM_PATHS ON)  # the program and the library find LibTorch where it is
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS "-DLEVIN_TORCH_DIR=$ENV{LEVIN_TORCH_DIR}" -DLEVIN_TESTS=OFF)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/levin)
vcpkg_copy_tools(TOOL_NAMES levin AUTO_CLEAN)
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
