# -DWHEELPIT_SANITIZE=address,undefined or thread: everything of ours is instrumented; the packaged libraries are not.
set(WHEELPIT_SANITIZE "" CACHE STRING "Sanitizers, as -fsanitize= takes them")
if(WHEELPIT_SANITIZE)
  add_compile_options(-fsanitize=${WHEELPIT_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${WHEELPIT_SANITIZE})
  if(WHEELPIT_SANITIZE MATCHES thread)
    # It does not model fences, and says so where one is. The one in server/exposition orders what a shared_ptr's count has counted.
    add_compile_options(-Wno-tsan)
  endif()
endif()
