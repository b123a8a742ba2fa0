# find_package(libzip) -> libzip::zip. libzip's own CMake files name programs that Debian and Ubuntu put into other packages,
# and fail without them.
include(FindByHeader)
levin_find_by_header(libzip zip.h zip libzip::zip libzip-dev)
