-- A transfer moves money between two accounts and writes it down: the sum of all balances never changes.
create database bank;
use bank;
create table account (id int primary key, balance bigint not null) engine=innodb;
create table history (id bigint auto_increment primary key, source int, target int, delta int, key (source)) engine=innodb;
insert into account select seq, 1000 from seq_1_to_1000;
delimiter //
create procedure transfer()
begin
  declare source int default 1 + floor(rand() * 999);
  declare target int default source + 1 + floor(rand() * (1000 - source));
  declare delta int default 1 + floor(rand() * 9);
  start transaction;
  update account set balance = balance - delta where id = source;
  update account set balance = balance + delta where id = target;
  insert into history (source, target, delta) values (source, target, delta);
  commit;
end //
delimiter ;
create user teller@'%';
grant all on bank.* to teller@'%';
