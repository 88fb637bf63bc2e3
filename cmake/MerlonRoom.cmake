# merlon_room(NAME LINKS ...): one static target a room, made of the room's *.cc files; NAME_test of its *_test.cc files.
# LINKS names other rooms (the arrows of docs/start-here.md) and libraries. merlon_includes_check guards the arrows.
include(GoogleTest)

# Rooms whose tests run on both builds of ./check, as vector code, layouts and system calls are at stake: what the compiler makes of
# them, and what the CPU and the kernel do. Tests of the other rooms bear the label "unit-portable" and run on the sanitizers' build alone.
set(MERLON_ROOMS_TESTED_TWICE base crypto packet esp io)
add_custom_target(unit-tests)  # the tests with the label "unit"

function(merlon_room NAME)
  cmake_parse_arguments(ROOM "" "" "LINKS;TEST_LINKS" ${ARGN})
  set(dir ${CMAKE_SOURCE_DIR}/src/${NAME})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${dir}/*.cc)
  set(tests ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  list(FILTER sources EXCLUDE REGEX "(_test|/main)\\.cc$")
  if(NOT sources)
    add_library(merlon_${NAME} INTERFACE)
    target_include_directories(merlon_${NAME} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(merlon_${NAME} INTERFACE ${ROOM_LINKS})
  else()
    add_library(merlon_${NAME} STATIC ${sources})
    target_include_directories(merlon_${NAME} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(merlon_${NAME} PUBLIC ${ROOM_LINKS} PRIVATE merlon_warnings)
  endif()
  if(tests AND MERLON_TESTS)
    set(label unit-portable)
    if(NAME IN_LIST MERLON_ROOMS_TESTED_TWICE)
      set(label unit)
      add_dependencies(unit-tests ${NAME}_test)
    endif()
    merlon_test(${NAME}_test LABEL ${label} SOURCES ${tests} LINKS merlon_${NAME} ${ROOM_TEST_LINKS})
  endif()
endfunction()

# merlon_test(NAME LABEL ... SOURCES ... LINKS ...): a GoogleTest binary, each of its tests known to ctest under that label.
function(merlon_test NAME)
  cmake_parse_arguments(T "" "LABEL" "SOURCES;LINKS" ${ARGN})
  add_executable(${NAME} ${T_SOURCES})
  # Under the sanitizers the optimiser costs more than it saves in a test's own code.
  target_compile_options(${NAME} PRIVATE $<$<CONFIG:Debug>:-O0>)
  target_link_libraries(${NAME} PRIVATE ${T_LINKS} merlon_warnings rapidcheck GTest::gmock GTest::gtest_main)
  gtest_discover_tests(${NAME} PROPERTIES LABELS ${T_LABEL} TIMEOUT 600 DISCOVERY_TIMEOUT 120 DISCOVERY_MODE PRE_TEST)
endfunction()
