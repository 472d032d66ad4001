; The native entry: the call.  See entry.py, which also says what `get`, `put`, `at`, `each` and `next` mean.

declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare ptr @PyList_New(i64)
declare void @PyErr_Clear()
declare ptr @PyErr_Occurred()
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyObject_CallFunctionObjArgs(ptr, ...)
declare ptr @PyEval_SaveThread()
declare void @PyEval_RestoreThread(ptr)
declare ptr @PyArray_NewFromDescr(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare { i64, i1 } @llvm.umul.with.overflow.i64(i64, i64)
@PyArray_Type = external constant i8
@PyFloat_Type = external constant i8
@PyLong_Type = external constant i8
@Py_False = external constant i8
@Py_None = external constant i8
@uint8 = external constant i8

; What CPython calls for an object.  Calls back into Python may give the object another context meanwhile.
define ptr @call(ptr %self, ptr %args, i64 %count_and_flag, ptr %names) {
  %context = get ptr %self:callee.context
  %count = and i64 %count_and_flag, ${count_mask}
  call void @Py_IncRef(ptr %context)
  %result = call ptr @entry(ptr %context, ptr %args, i64 %count, ptr %names)
  call void @Py_DecRef(ptr %context)
  ret ptr %result
}

define internal ptr @entry(ptr %self, ptr %args, i64 %count, ptr %names) {
start:
  %single = alloca ptr
  %context = call ptr @context_of(ptr %self)
  %form = get i64 %context:context.form
  %expected = get i64 %context:context.count
  %right_count = icmp eq i64 %count, %expected
  %by_position = icmp eq ptr %names, null
  %simple = and i1 %right_count, %by_position
  br i1 %simple, label %prepare, label %slow
prepare:
  %is_single = icmp eq i64 %form, ${ONE}
  br i1 %is_single, label %check, label %listed
listed:
  %length = get i64 %context:context.returned
  %new_list = call ptr @PyList_New(i64 %length)
  %no_list = icmp eq ptr %new_list, null
  br i1 %no_list, label %error, label %have_list
have_list:
  %list_items = get ptr %new_list:list.items
  br label %check
check:
  %list = phi ptr [null, %prepare], [%new_list, %have_list]
  %items = phi ptr [%single, %prepare], [%list_items, %have_list]
  %busy = get i64 %context:context.busy
  %is_busy = icmp ne i64 %busy, 0
  br i1 %is_busy, label %give_up, label %ready_to_read
ready_to_read:
  %turn = get i64 %context:context.turn
  %due = get i64 %context:context.due
  %is_due = icmp eq i64 %turn, %due
  br i1 %is_due, label %now_due, label %read
now_due:
  %finisher = get ptr %context:context.finish
  br label %give_up
read:
  %read_bytes = call i64 @read(ptr %context, ptr %args)
  %unread = icmp slt i64 %read_bytes, 0
  br i1 %unread, label %give_up, label %before
before:
  %frame = get ptr %context:context.frame
  %prologue = get ptr %context:context.prologue
  %misfit = call i32 %prologue(ptr %frame)
  %is_misfit = icmp ne i32 %misfit, 0
  br i1 %is_misfit, label %give_up, label %memory
memory:
  %placed = call i64 @place(ptr %context)
  %unplaced = icmp ne i64 %placed, 0
  br i1 %unplaced, label %out_of_memory, label %results
results:
  %bytes = call i64 @allocate(ptr %context, i64 %read_bytes)
  %no_results = icmp slt i64 %bytes, 0
  br i1 %no_results, label %out_of_memory, label %ready
ready:
  put i64 1, %context:context.busy
  %body = get ptr %context:context.body
  %limit = get i64 %context:context.limit
  %is_large = icmp sgt i64 %bytes, %limit
  %python = get i64 %context:context.python
  %runs_python = icmp ne i64 %python, 0
  %others_run = or i1 %is_large, %runs_python
  br i1 %others_run, label %hold, label %run
hold:
  call void @hold(ptr %context)
  br i1 %is_large, label %large, label %run
run:
  %run_status = call i32 %body(ptr %frame)
  br label %after
large:                                            ; another entry is for this, or this is for nothing else
  %larger = get ptr %context:context.large
  %has_larger = icmp ne ptr %larger, null
  br i1 %has_larger, label %undo, label %release
release:
  %thread = call ptr @PyEval_SaveThread()
  %release_status = call i32 %body(ptr %frame)
  call void @PyEval_RestoreThread(ptr %thread)
  br label %after
after:
  %status = phi i32 [%run_status, %run], [%release_status, %release]
  %is_done = icmp eq i32 %status, 0
  br i1 %is_done, label %settle, label %stopped
settle:
  %committing = get ptr %context:context.commit
  %is_settled = icmp eq ptr %committing, null
  br i1 %is_settled, label %finish, label %look_again
look_again:
  %is_ours = call i1 @may_change(ptr %context, i1 %others_run)
  br i1 %is_ours, label %change, label %undo
change:
  %commit_status = call i32 %committing(ptr %frame)
  %is_changed = icmp eq i32 %commit_status, 0
  br i1 %is_changed, label %finish, label %undo
stopped:                                          ; by work that proved to be large: as much as this goes there at once
  %is_too_large = icmp eq i32 %status, ${IS_LARGE}
  br i1 %is_too_large, label %learn, label %undo
learn:
  %known_large = get ptr %context:context.large
  %less = sub i64 %bytes, 1
  put i64 %less, %context:context.limit
  br label %undo
finish:
  call void @commit(ptr %context, ptr %items)
  call void @drop(ptr %context)
  br i1 %others_run, label %release_all, label %hand_out
release_all:
  call void @release(ptr %context)
  br label %hand_out
hand_out:
  put i64 0, %context:context.busy
  switch i64 %form, label %pack [i64 ${ONE}, label %one i64 ${LIST}, label %many]
one:
  %result = load ptr, ptr %single
  ret ptr %result
many:
  ret ptr %list
pack:
  %packer = get ptr %context:context.pack
  %packed = call ptr (ptr, ...) @PyObject_CallFunctionObjArgs(ptr %packer, ptr %list, ptr null)
  call void @Py_DecRef(ptr %list)
  ret ptr %packed

undo:
  %instead = phi ptr [%larger, %large], [%known_large, %learn], [null, %stopped], [null, %look_again], [null, %change]
  call void @undo(ptr %context, ptr null)
  br i1 %others_run, label %release_read, label %undone
release_read:
  call void @release(ptr %context)
  br label %undone
undone:
  put i64 0, %context:context.busy
  %again = icmp ne ptr %instead, null
  br i1 %again, label %give_up, label %failed
failed:                                           ; an interrupt, say, is not for the slow path to explain
  %raised = call ptr @PyErr_Occurred()
  %has_raised = icmp ne ptr %raised, null
  br i1 %has_raised, label %drop_list, label %give_up
out_of_memory:
  call void @PyErr_Clear()
  br label %give_up
give_up:
  %chosen = phi ptr [%instead, %undone], [null, %failed], [null, %out_of_memory],
                    [null, %check], [%finisher, %now_due], [null, %read], [null, %before]
  %has_list = icmp ne ptr %list, null
  br i1 %has_list, label %forget_list, label %slow
forget_list:
  call void @Py_DecRef(ptr %list)
  br label %slow
slow:
  %other = phi ptr [null, %start], [%chosen, %give_up], [%chosen, %forget_list]
  %use_other = icmp ne ptr %other, null
  %usual = get ptr %context:context.slow
  %callee = select i1 %use_other, ptr %other, ptr %usual
  %outcome = call ptr @PyObject_Vectorcall(ptr %callee, ptr %args, i64 %count, ptr %names)
  ret ptr %outcome

drop_list:
  %list_to_drop = icmp ne ptr %list, null
  br i1 %list_to_drop, label %drop_it, label %error
drop_it:
  call void @Py_DecRef(ptr %list)
  br label %error
error:
  ret ptr null
}
