; The native entry: the memory of temporaries and results, and the commit.  Functions that run rarely are `optnone`: they
; take less time to compile.

; Give each temporary its place in the arena: 0, or -1 if there is no memory.
define internal i64 @place(ptr %context) {
start:
  %dims = alloca i64
  each %row of temporary in %context:context.temporaries
  %begin = phi i64 [0, %row.start], [%end, %row.next]
  %itemsize = get i64 %row:temporary.itemsize
  each %axis of size in %row:temporary.sizes
  %bytes = phi i64 [%itemsize, %axis.start], [%product, %axis.next]
  %size.at = get ptr %axis:size.at
  %size = load i64, ptr %size.at
  %checked = call { i64, i1 } @llvm.umul.with.overflow.i64(i64 %bytes, i64 %size)
  %product = extractvalue { i64, i1 } %checked, 0
  %too_much = extractvalue { i64, i1 } %checked, 1
  br i1 %too_much, label %refuse, label %multiplied
multiplied:
  next %axis
  %all_bytes = phi i64 [%itemsize, %axis.start], [%product, %axis.next]
  %raised = add i64 %all_bytes, 63
  %rounded = and i64 %raised, -64
  %end = add i64 %begin, %rounded
  %sane_bytes = icmp ult i64 %all_bytes, ${most_bytes}
  %sane_end = icmp ult i64 %end, ${most_bytes}
  %sane = and i1 %sane_bytes, %sane_end
  br i1 %sane, label %measured, label %refuse
measured:
  %slot = get ptr %row:temporary.slot
  store i64 %begin, ptr %slot
  next %row
  %total = phi i64 [0, %row.start], [%end, %row.next]
  %nothing = icmp eq i64 %total, 0
  br i1 %nothing, label %done, label %look
look:
  %kept = get ptr %context:context.arena
  %old = load ptr, ptr %kept
  %known = get ptr %context:context.arena_object
  %is_known = icmp eq ptr %old, %known            ; it is not where the memory was given back
  %capacity = get i64 %context:context.arena_bytes
  %is_ample = icmp uge i64 %capacity, %total
  %enough = and i1 %is_known, %is_ample
  br i1 %enough, label %have, label %grow
grow:
  %quarter = lshr i64 %total, 2
  %ample = add i64 %total, %quarter
  %aligned = add i64 %ample, 64
  store i64 %aligned, ptr %dims
  call void @Py_IncRef(ptr @uint8)
  %new = call ptr @PyArray_NewFromDescr(
    ptr @PyArray_Type, ptr @uint8, i32 1, ptr %dims, ptr null, ptr null, i32 0, ptr null)
  %failed = icmp eq ptr %new, null
  br i1 %failed, label %refuse, label %grown
grown:
  store ptr %new, ptr %kept
  put ptr %new, %context:context.arena_object
  call void @Py_DecRef(ptr %old)
  %data = call ptr @data_of(ptr %new)
  %from = ptrtoint ptr %data to i64
  %raised_from = add i64 %from, 63
  %new_base = and i64 %raised_from, -64
  put i64 %new_base, %context:context.arena_base
  put i64 %ample, %context:context.arena_bytes
  br label %have
have:
  %base = get i64 %context:context.arena_base
  each %placed of temporary in %context:context.temporaries
  %placed_slot = get ptr %placed:temporary.slot
  %offset = load i64, ptr %placed_slot
  %address = add i64 %offset, %base
  store i64 %address, ptr %placed_slot
  next %placed
  br label %done
done:
  ret i64 0
refuse:
  ret i64 -1
}

; Find the array for one result: how many bytes it has, -1 if there is no memory, or -2 if the array that the cell holds
; cannot be changed where it is.  stay: whether it is to be, where it may.
define internal i64 @obtain(ptr %row, i64 %turn, i64 %stay) {
start:
  %dims = alloca [64 x i64]
  %ndim = get i64 %row:result.ndim
  %itemsize = get i64 %row:result.itemsize
  each %axis of size in %row:result.sizes
  %dim.at = phi ptr [%dims, %axis.start], [%dim.next, %axis.next]
  %bytes = phi i64 [%itemsize, %axis.start], [%product, %axis.next]
  %size.at = get ptr %axis:size.at
  %size = load i64, ptr %size.at
  store i64 %size, ptr %dim.at
  %product = mul i64 %bytes, %size
  %dim.next = getelementptr i64, ptr %dim.at, i64 1
  next %axis
  %all_bytes = phi i64 [0, %axis.start], [%product, %axis.next]
  %kept = call ptr @kept(ptr %row, i64 %turn)
  %any_stays = icmp ne i64 %stay, 0
  br i1 %any_stays, label %ask, label %look
ask:
  %stays = get i64 %row:result.stays
  %this_stays = icmp ne i64 %stays, 0
  %cell = get ptr %row:result.cell
  %asked = select i1 %this_stays, ptr %cell, ptr %kept
  %in_place = select i1 %this_stays, i64 ${IN_PLACE}, i64 ${KEPT}
  br label %look
look:
  %place = phi ptr [%kept, %axis.done], [%asked, %ask]
  %as = phi i64 [${KEPT}, %axis.done], [%in_place, %ask]
  %old = load ptr, ptr %place
  %is_reusable = call i1 @reusable(ptr %row, ptr %old, ptr %dims)
  br i1 %is_reusable, label %done, label %consider
consider:
  %is_staying = icmp eq i64 %as, ${IN_PLACE}
  br i1 %is_staying, label %move, label %create
move:
  ret i64 -2
create:
  %descr = get ptr %row:result.descr
  %axes = trunc i64 %ndim to i32
  call void @Py_IncRef(ptr %descr)
  %new = call ptr @PyArray_NewFromDescr(
    ptr @PyArray_Type, ptr %descr, i32 %axes, ptr %dims, ptr null, ptr null, i32 0, ptr null)
  %failed = icmp eq ptr %new, null
  br i1 %failed, label %refuse, label %done
done:
  %object = phi ptr [%old, %look], [%new, %create]
  %origin = phi i64 [%as, %look], [${FRESH}, %create]
  put ptr %object, %row:result.object
  put i64 %origin, %row:result.origin
  put i64 %all_bytes, %row:result.bytes
  %any_axis = icmp ne i64 %ndim, 0
  br i1 %any_axis, label %point, label %pointed
point:
  %data = call ptr @data_of(ptr %object)
  %slot = get ptr %row:result.slot
  store ptr %data, ptr %slot
  br label %pointed
pointed:
  ret i64 %all_bytes
refuse:
  ret i64 -1
}

; Where the array is kept that a result may use in this turn: one of two for what is returned, as the caller still
; holds the last when he asks for the next.
define internal ptr @kept(ptr %row, i64 %turn) {
  %first = get ptr %row:result.kept
  %turns = get i64 %row:result.turns
  %last = sub i64 %turns, 1
  %which = and i64 %turn, %last
  %address = getelementptr ptr, ptr %first, i64 %which
  ret ptr %address
}

; Find the arrays for all results: how many bytes they and those that were read have, or -1, and then there are none.
; What is changed where it is has been counted as read, but only little of it is touched.  All that may stay where it is
; does, or nothing.
define internal i64 @allocate(ptr %context, i64 %read) {
begin:
  %turn = get i64 %context:context.turn
  %apart = get ptr %context:context.apart
  %has_choice = icmp ne ptr %apart, null
  br i1 %has_choice, label %weighed, label %again
weighed:
  %choice = load i64, ptr %apart
  %is_little = icmp eq i64 %choice, ${NOT_TAKEN}
  %little = zext i1 %is_little to i64
  %in_cells = get i64 %context:context.stay
  %may_stay = and i64 %little, %in_cells
  %stays = icmp ne i64 %may_stay, 0
  %chosen = select i1 %stays, i64 ${NOT_TAKEN}, i64 ${TAKEN}
  store i64 %chosen, ptr %apart
  br label %again
again:
  %stay = phi i64 [0, %begin], [%may_stay, %weighed], [0, %part]
  br label %start
start:
  each %row of result in %context:context.results
  %sum = phi i64 [%read, %row.start], [%sum.next, %row.next]
  %bytes = call i64 @obtain(ptr %row, i64 %turn, i64 %stay)
  %failed = icmp slt i64 %bytes, 0
  br i1 %failed, label %refuse, label %obtained
obtained:
  %sum.next = add i64 %sum, %bytes
  next %row
  %total = phi i64 [%read, %row.start], [%sum.next, %row.next]
  %any_stay = icmp ne i64 %stay, 0
  br i1 %any_stay, label %discount, label %counted
discount:
  %untouched = call i64 @untouched(ptr %context)
  %less = sub i64 %total, %untouched
  ret i64 %less
counted:
  ret i64 %total
refuse:
  call void @undo(ptr %context, ptr %row)
  %is_held = icmp eq i64 %bytes, -2
  br i1 %is_held, label %part, label %fail
part:
  store i64 ${TAKEN}, ptr %apart
  br label %again
fail:
  ret i64 -1
}

; Of what stays where it is, the bytes read and written.
define internal i64 @untouched(ptr %context) noinline optnone {
start:
  each %row of result in %context:context.results
  %sum = phi i64 [0, %row.start], [%sum.next, %row.next]
  %bytes = get i64 %row:result.bytes
  %twice = shl i64 %bytes, 1
  %origin = get i64 %row:result.origin
  %is_in_place = icmp eq i64 %origin, ${IN_PLACE}
  %more = select i1 %is_in_place, i64 %twice, i64 0
  %sum.next = add i64 %sum, %more
  next %row
  %total = phi i64 [0, %row.start], [%sum.next, %row.next]
  ret i64 %total
}

; Whether nobody else has come to hold what is to be changed where it is, if other threads ran.  `held` is ours.
define internal i1 @may_change(ptr %context, i1 %others_ran) noinline optnone {
begin:
  br i1 %others_ran, label %start, label %row.done
start:
  each %row of result in %context:context.results
  %origin = get i64 %row:result.origin
  %is_in_place = icmp eq i64 %origin, ${IN_PLACE}
  br i1 %is_in_place, label %look, label %fine
look:
  %object = get ptr %row:result.object
  %cell = get ptr %row:result.cell
  %value = load ptr, ptr %cell
  %is_there = icmp eq ptr %value, %object
  %references = call i32 @references(ptr %object)
  %two = icmp eq i32 %references, 2
  %ours = and i1 %is_there, %two
  br i1 %ours, label %fine, label %no
fine:
  next %row
  ret i1 true
no:
  ret i1 false
}

; Drop the new arrays of the results before `end`.
define internal void @undo(ptr %context, ptr %end) noinline optnone {
start:
  each %row of result in %context:context.results
  %is_end = icmp eq ptr %row, %end
  br i1 %is_end, label %row.done, label %look
look:
  %origin = get i64 %row:result.origin
  %is_fresh = icmp eq i64 %origin, ${FRESH}
  br i1 %is_fresh, label %drop, label %dropped
drop:
  %object = get ptr %row:result.object
  call void @Py_DecRef(ptr %object)
  br label %dropped
dropped:
  next %row
  ret void
}

; ---- while others run ----

; Own all that the call uses: values of cells may be replaced, and kept memory may be given back.
define internal void @hold(ptr %context) noinline optnone {
start:
  each %shared of input in %context:context.shared
  %held = get ptr %shared:input.held
  call void @Py_IncRef(ptr %held)
  next %shared
  %turn = get i64 %context:context.turn
  each %row of result in %context:context.results
  %origin = get i64 %row:result.origin
  %is_kept = icmp eq i64 %origin, ${KEPT}
  br i1 %is_kept, label %take, label %owned
take:
  %kept = call ptr @kept(ptr %row, i64 %turn)
  call void @Py_IncRef(ptr @Py_None)
  store ptr @Py_None, ptr %kept
  put i64 ${FRESH}, %row:result.origin
  br label %owned
owned:
  next %row
  %arena.at = get ptr %context:context.arena
  %arena = load ptr, ptr %arena.at
  call void @Py_IncRef(ptr @Py_None)
  store ptr @Py_None, ptr %arena.at
  put ptr %arena, %context:context.arena_lent
  ret void
}

; After that, except for results.
define internal void @release(ptr %context) noinline optnone {
start:
  %arena.at = get ptr %context:context.arena
  %none = load ptr, ptr %arena.at
  %arena = get ptr %context:context.arena_lent
  store ptr %arena, ptr %arena.at
  call void @Py_DecRef(ptr %none)
  each %shared of input in %context:context.shared
  %held = get ptr %shared:input.held
  call void @Py_DecRef(ptr %held)
  next %shared
  ret void
}

; ---- commit ----

; Write numbers into their arrays, exchange the values of cells, hand out results.  Nothing here can fail, and nothing
; is dropped yet.
define internal void @commit(ptr %context, ptr %items) {
start:
  %turn = get i64 %context:context.turn
  %next_turn = add i64 %turn, 1
  put i64 %next_turn, %context:context.turn
  each %row of result in %context:context.results
  %item = phi ptr [%items, %row.start], [%item.next, %row.next]
  %object = get ptr %row:result.object
  %origin = get i64 %row:result.origin
  %is_fresh = icmp eq i64 %origin, ${FRESH}
  %cell = get ptr %row:result.cell
  %kept = call ptr @kept(ptr %row, i64 %turn)
  %before = load ptr, ptr %kept
  put ptr null, %row:result.dropped
  %is_in_place = icmp eq i64 %origin, ${IN_PLACE}
  br i1 %is_in_place, label %settled, label %elsewhere
elsewhere:
  %ndim = get i64 %row:result.ndim
  %is_number = icmp eq i64 %ndim, 0
  br i1 %is_number, label %number, label %filled
number:
  %slot = get ptr %row:result.slot
  %data = call ptr @data_of(ptr %object)
  %itemsize = get i64 %row:result.itemsize
  %value = load i64, ptr %slot
  switch i64 %itemsize, label %eight [i64 1, label %one i64 2, label %two i64 4, label %four]
one:
  %value1 = trunc i64 %value to i8
  store i8 %value1, ptr %data
  br label %filled
two:
  %value2 = trunc i64 %value to i16
  store i16 %value2, ptr %data
  br label %filled
four:
  %value4 = trunc i64 %value to i32
  store i32 %value4, ptr %data
  br label %filled
eight:
  store i64 %value, ptr %data
  br label %filled
filled:
  %is_returned = icmp eq ptr %cell, null
  br i1 %is_returned, label %returned, label %update
update:                                           ; the array that the cell held is the one to write next time
  %old = load ptr, ptr %cell
  store ptr %object, ptr %cell
  br i1 ${keeps}, label %exchange, label %forget
exchange:
  store ptr %old, ptr %kept
  br i1 %is_fresh, label %replaced, label %settled
forget:
  put ptr %old, %row:result.dropped
  br label %settled
returned:
  store ptr %object, ptr %item
  br i1 %is_fresh, label %consider, label %shared
consider:
  %bytes = get i64 %row:result.bytes
  %is_small = icmp ule i64 %bytes, ${kept_bytes}
  %is_kept = and i1 %is_small, ${keeps}
  br i1 %is_kept, label %keep, label %settled
keep:
  store ptr %object, ptr %kept
  call void @Py_IncRef(ptr %object)
  br label %replaced
shared:
  call void @Py_IncRef(ptr %object)
  br label %settled
replaced:
  put ptr %before, %row:result.dropped
  br label %settled
settled:
  %item.next = getelementptr ptr, ptr %item, i64 1
  next %row
  ret void
}

; Drop what the commit has replaced.
define internal void @drop(ptr %context) {
start:
  each %row of result in %context:context.results
  %dropped = get ptr %row:result.dropped
  %none = icmp eq ptr %dropped, null
  br i1 %none, label %gone, label %drop
drop:
  call void @Py_DecRef(ptr %dropped)
  br label %gone
gone:
  next %row
  ret void
}
