# Unity builds: many sources are compiled together. Most of what a source costs is LibTorch's templates, which the compiler
# instantiates anew in each file; a batch pays for them once. A name in an anonymous namespace must therefore be unique in
# the library. Each test file has a namespace of its own.
#
# -DLEVIN_UNITY=OFF (LEVIN_UNITY=OFF ./run build) compiles each file by itself. -DLEVIN_UNITY=TESTS does so for the library
# only: it finds out whether each of its sources includes what it uses.
include_guard(GLOBAL)

# levin_unity(TARGET MOST): puts the target's sources, in the order of their paths, into batches of at most MOST; the rooms of
# serving/ and tuning/ are batches of their own, so that a new source there leaves the other batches as they were. Sources with compile
# options of their own stay by themselves.
function(levin_unity target most)
  if(NOT LEVIN_UNITY OR (LEVIN_UNITY STREQUAL "TESTS" AND NOT target MATCHES "_test$"))
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  list(FILTER sources INCLUDE REGEX "\\.cpp$")
  list(SORT sources)
  set(rooms ${sources})
  list(FILTER rooms INCLUDE REGEX "^${PROJECT_SOURCE_DIR}/(serving|tuning)/")
  foreach(source IN LISTS rooms)
    string(REGEX MATCH "/(serving|tuning)/([a-z]+)/" ignored "${source}")
    set_source_files_properties("${source}" PROPERTIES UNITY_GROUP "${target}_${CMAKE_MATCH_1}_${CMAKE_MATCH_2}")
  endforeach()
  list(FILTER sources EXCLUDE REGEX "^${PROJECT_SOURCE_DIR}/(serving|tuning)/")
  # Batches of one size: fifteen files, ten at most, make two batches of eight and seven.
  list(LENGTH sources count)
  math(EXPR batches "(${count} + ${most} - 1) / ${most}")
  if(batches EQUAL 0)
    set(batches 1)
  endif()
  math(EXPR size "(${count} + ${batches} - 1) / ${batches}")
  set(index 0)
  foreach(source IN LISTS sources)
    math(EXPR batch "${index} / ${size}")
    math(EXPR index "${index} + 1")
    set_source_files_properties("${source}" PROPERTIES UNITY_GROUP "${target}_${batch}")
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()
