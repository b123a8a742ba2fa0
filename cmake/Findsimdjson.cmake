# find_package(simdjson) -> simdjson::simdjson. The CMake files of simdjson differ from one distribution to another.
include(FindByHeader)
levin_find_by_header(simdjson simdjson.h simdjson simdjson::simdjson libsimdjson-dev)
