# find_package(hiredis) -> hiredis::hiredis. The CMake files of hiredis differ from one distribution to another.
include(FindByHeader)
levin_find_by_header(hiredis hiredis/hiredis.h hiredis hiredis::hiredis libhiredis-dev)
